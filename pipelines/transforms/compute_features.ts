import type { DeadLetter } from '#connectors/dead_letters';
import { type EntityState, emptyEntityState, ViewComputation } from '#feature_store/aggregation/view_computation';
import type { FeatureRow } from '#feature_store/definitions/feature_row';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { eventTime } from '#kernel/time';
import {
  type DoFn,
  eventTimer,
  mapState,
  type OnTimerContext,
  outputTag,
  type ProcessContext,
  processingTimer,
  type TimerSpec,
  valueState,
} from '#pipelines/engine/dofn';
import type { KV } from '#pipelines/model/pcollection';
import type { DecodedEvent } from './decode_events.ts';
import type { FeatureMetrics } from './feature_metrics.ts';

/** Records that no feature may see. */
export const DEAD = outputTag<DeadLetter>('dead');

/** Parts what can be used from what cannot. */
export class SplitInvalid implements DoFn<DecodedEvent, DecodedEvent> {
  readonly #metrics: FeatureMetrics;

  constructor(metrics: FeatureMetrics) {
    this.#metrics = metrics;
  }

  process(element: DecodedEvent, context: ProcessContext<DecodedEvent>): void {
    if (element.ok) {
      context.output(element);
      return;
    }
    this.#metrics.failed.inc({ reason: 'invalid' });
    const timestamp = new Date(context.clock.now()).toISOString();
    context.outputTo(DEAD, {
      payload: element.payload,
      reason: element.reason,
      stage: 'pipeline.decode',
      attempt: element.attempt,
      timestamp,
    });
  }
}

/** A computed row on its way to the stores. */
export interface ComputedRow {
  readonly row: FeatureRow;
  readonly receivedAtMs: number | undefined;
}

type UsableEvent = Extract<DecodedEvent, { ok: true }>;

/** So long after a change is due it is told although no events move the watermark: one may still be on its way, ms. */
const QUIET_MS = 3_000;

/** Ids of one entity's recent events are pruned when there are this many more than after the last pruning. */
const PRUNE_EVERY = 256;

/**
 * The stateful heart of a feature pipeline, one for each view: per entity, drops duplicates, counts events into tiles and emits the row
 * as of the event; and, when events leave a window, the row as of then. Late events count in; those older than `allowedLatenessMs` go to the dead letters. Two events of one entity at
 * the same millisecond share a row: the later one's, which includes both.
 */
export class ComputeFeatures implements DoFn<KV<string, UsableEvent>, ComputedRow> {
  readonly entityState = valueState<EntityState>('entity');
  /** Event time by event id, for deduplication; plus how many there were after the last pruning. */
  readonly seen = mapState<string, number>('seen');
  readonly seenCount = valueState<{ readonly size: number; readonly pruneAt: number }>('seenCount');
  /** For what changes without events, and in the end to forget the entity. */
  readonly wake = eventTimer('wake');
  /** For the same when no events move the watermark. */
  readonly quiet = processingTimer('quiet');
  readonly #computation: ViewComputation;
  readonly #allowedLatenessMs: number;
  readonly #isLive: boolean;
  readonly #metrics: FeatureMetrics;

  /** @param isLive - events come as they happen: what changes without them is told in time, and not only when others come */
  constructor(view: FeatureView, allowedLatenessMs: number, isLive: boolean, metrics: FeatureMetrics) {
    this.#isLive = isLive;
    this.#computation = new ViewComputation(view, allowedLatenessMs);
    this.#allowedLatenessMs = allowedLatenessMs;
    this.#metrics = metrics;
  }

  process({ key, value }: KV<string, UsableEvent>, context: ProcessContext<ComputedRow>): void {
    if (this.#isDuplicate(value, context)) {
      this.#metrics.duplicates.inc();
      return;
    }
    const { eventTimeMs } = value;
    const { watermark } = value;
    if (eventTimeMs < watermark) {
      this.#metrics.late.inc();
      if (eventTimeMs < watermark - this.#allowedLatenessMs) {
        this.#refuseLate(value, watermark, context);
        return;
      }
    }
    const startedMs = performance.now();
    const cell = context.state(this.entityState);
    const state = cell.read() ?? emptyEntityState();
    this.#decay(key, state, eventTimeMs, context);
    const values = this.#computation.apply(state, value.event, eventTimeMs);
    cell.write(state);
    this.#setTimers(state, context);
    this.#metrics.computationSeconds.observe((performance.now() - startedMs) / 1_000);
    this.#metrics.processed.inc();
    this.#output(key, eventTimeMs, values, value.receivedAtMs, context);
  }

  #output(
    key: string,
    asOfMs: number,
    values: FeatureRow['values'],
    receivedAtMs: number | undefined,
    context: ProcessContext<ComputedRow>,
  ): void {
    const { view, version } = this.#computation.view;
    context.output({
      row: { view, version, entityKey: key, eventTime: eventTime(asOfMs), computedAt: context.clock.now(), values },
      receivedAtMs,
    });
  }

  /** Rows as of every change before `beforeMs`. */
  #decay(key: string, state: EntityState, beforeMs: number, context: ProcessContext<ComputedRow>): void {
    this.#computation.decay(state, beforeMs, (asOfMs, values) => {
      this.#metrics.decayed.inc();
      this.#output(key, asOfMs, values, undefined, context);
    });
  }

  #setTimers(state: EntityState, context: ProcessContext<ComputedRow>): void {
    const next = this.#computation.nextChange(state);
    context.timer(this.wake).set(next ?? this.#forgetAt(state));
    if (!this.#isLive || next === undefined) return;
    context.timer(this.quiet).set(Math.max(next, context.clock.now()) + QUIET_MS);
  }

  #forgetAt({ latest }: EntityState): number {
    return (latest?.eventTimeMs ?? 0) + this.#computation.horizonMs;
  }

  onTimer(timer: TimerSpec, context: OnTimerContext<ComputedRow, string>): void {
    const cell = context.state(this.entityState);
    const state = cell.read();
    const nowMs = context.clock.now();
    const isQuiet = timer.id === this.quiet.id;
    // At the end of a bounded input all timers fire. What has not come about yet is not told: more events may come another time.
    if (state === undefined || (!isQuiet && context.firedAt > nowMs)) return;
    this.#decay(context.key, state, isQuiet ? nowMs + 1 - QUIET_MS : context.firedAt + 1, context);
    if (isQuiet || this.#computation.nextChange(state) !== undefined || this.#forgetAt(state) > context.firedAt) {
      cell.write(state);
      this.#setTimers(state, context);
      return;
    }
    cell.clear();
    context.state(this.seen).clear();
    context.state(this.seenCount).clear();
  }

  #isDuplicate({ eventId, eventTimeMs }: UsableEvent, context: ProcessContext<ComputedRow>): boolean {
    const seen = context.state(this.seen);
    if (seen.get(eventId) !== undefined) return true;
    seen.put(eventId, eventTimeMs);
    const counter = context.state(this.seenCount);
    const { size, pruneAt } = counter.read() ?? { size: 0, pruneAt: PRUNE_EVERY };
    if (size + 1 < pruneAt) {
      counter.write({ size: size + 1, pruneAt });
      return false;
    }
    // An id whose event would be refused as too late needs no remembering.
    const oldest = context.inputWatermark - this.#allowedLatenessMs;
    let left = 0;
    for (const [id, at] of [...seen.entries()]) {
      if (at < oldest) seen.remove(id);
      else left += 1;
    }
    counter.write({ size: left, pruneAt: left + PRUNE_EVERY });
    return false;
  }

  #refuseLate(value: UsableEvent, watermark: number, context: ProcessContext<ComputedRow>): void {
    this.#metrics.failed.inc({ reason: 'late' });
    context.outputTo(DEAD, {
      payload: value.payload,
      reason: `late: its time ${new Date(value.eventTimeMs).toISOString()} is ${Math.round((watermark - value.eventTimeMs) / 1_000)} s behind the watermark, more than the allowed ${this.#allowedLatenessMs / 1_000} s`,
      stage: 'pipeline.compute_features',
      attempt: value.attempt,
      timestamp: new Date(context.clock.now()).toISOString(),
    });
  }
}
