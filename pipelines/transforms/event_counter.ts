import { isLate } from '#kernel/times/event_time_text';
import type { DecodedEvent } from '../events/decode_events.ts';
import type { FeatureMetrics } from './feature_metrics.ts';
import { hashOf } from './recent_ids.ts';

type UsableEvent = Extract<DecodedEvent, { ok: true }>;

/** Ids that a reader remembers at least, and half of those at most. */
const REMEMBERED = 65_536;

/**
 * Counts usable events in `events_processed_total` before any view sees them: each once, whatever becomes of it in which view. An event that is too late for
 * every view is not counted, nor one that repeats an id of the newest 65,536 events of its reader.
 */
export class EventCounter {
  readonly #metrics: FeatureMetrics;
  readonly #allowedLatenessMs: number;
  #younger = new Set<number>();
  #older = new Set<number>();

  constructor(metrics: FeatureMetrics, allowedLatenessMs: number) {
    this.#metrics = metrics;
    this.#allowedLatenessMs = allowedLatenessMs;
  }

  add({ eventId, userId, eventTimeMs, arrivedAtMs }: UsableEvent): void {
    if (isLate(eventTimeMs, arrivedAtMs, this.#allowedLatenessMs)) return;
    const hash = hashOf({ eventId, userId });
    if (this.#younger.has(hash) || this.#older.has(hash)) return;
    if (this.#younger.size >= REMEMBERED) {
      this.#older = this.#younger;
      this.#younger = new Set();
    }
    this.#younger.add(hash);
    this.#metrics.processed.inc();
  }
}
