import { contentHash } from '#kernel/hashes/content_hash';
import { isoTime } from '#kernel/time';
import { isLate, latenessProblem } from '#kernel/times/event_time_text';
import { type EntityState, emptyEntityState } from '../aggregation/entity_state.ts';
import type { ViewComputation } from '../aggregation/view_computation.ts';
import { violationsOf } from '../definitions/rules/quality_rule.ts';
import type { EventFields } from '../definitions/sources/source.ts';
import type { FeatureValue } from '../definitions/values/feature_row.ts';
import { FeatureComputationError } from '../errors.ts';

/** An event of an entity as a pipeline has decoded it, and where it was found. */
export interface FoundEvent {
  readonly eventId: string;
  /** What its id is unique among. */
  readonly userId: string | undefined;
  readonly event: EventFields;
  readonly eventTimeMs: number;
  readonly arrivedAtMs: number;
  readonly knownAtMs: number;
  readonly traceparent?: string | undefined;
  /** Such as `archive`, `topic raw-events`. */
  readonly from: string;
  /** Partition and offset, where it was in a topic. */
  readonly place?: string | undefined;
}

export const FATES = ['counted', 'late', 'repeated', 'conflict', 'failed'] as const;
/** What the computation has made of an event. */
export type Fate = (typeof FATES)[number];

export interface ReplayedEvent extends FoundEvent {
  readonly fate: Fate;
  /** Why it did not count; undefined where it did. */
  readonly reason: string | undefined;
  /** Features since the previous event were computed with this one. */
  readonly earlier: Pick<FoundEvent, 'event' | 'eventTimeMs'> | undefined;
  /** It is in the tiles of the state; an event from before all of them has a row of itself alone. */
  readonly isInTiles: boolean;
}

type Values = Readonly<Record<string, FeatureValue>>;

/** The newest row at or before a time, at the moment that it was emitted last. */
export interface ReplayedRow {
  readonly timeMs: number;
  readonly values: Values;
  /** Events that state is of by then. */
  readonly known: readonly ReplayedEvent[];
  /** The event that it is a row of: of one that no event made, the newest. */
  readonly of: ReplayedEvent;
  /** As it was then: valid within the call alone. */
  readonly state: EntityState;
}

/** A row that was not written, because it breaks a rule. */
export interface RefusedRow {
  readonly timeMs: number;
  readonly rule: string;
}

export interface Replay {
  /** All events, in the order they were given. */
  readonly events: readonly ReplayedEvent[];
  /** The newest row that a rule has refused at or before the time, where none was written after it. */
  readonly refused: RefusedRow | undefined;
  /** Time of the row; undefined where there is none. */
  readonly rowTimeMs: number | undefined;
}

/**
 * Computes the rows of one entity again, event by event in the order of their arrival, as the stream does: what is late, repeated or in conflict does not count, and rows that were emitted too early are emitted again.
 *
 * @param events - of the entity, in the order of their arrival
 * @param atMs - rows up to this time are looked at
 * @param look - is given the newest of them, while the state is as it was when that row was emitted last
 */
export function replayEntity<T>(
  computation: ViewComputation,
  events: readonly FoundEvent[],
  { atMs, allowedLatenessMs }: { readonly atMs: number; readonly allowedLatenessMs: number },
  look: (row: ReplayedRow) => T,
): Replay & { readonly row: T | undefined } {
  // The first pass finds the row, the second stops there: looking at every row would cost more than computing them.
  const first = new EntityRun(computation, allowedLatenessMs, atMs);
  for (const event of events) first.add(event);
  first.end();
  const { emission, rowTimeMs, refused } = first;
  let row: T | undefined;
  if (emission !== undefined) {
    const second = new EntityRun(computation, allowedLatenessMs, atMs, {
      emission,
      look: (found) => {
        row = look(found);
      },
    });
    for (const event of events) {
      second.add(event);
      if (second.isOver) break;
    }
    if (!second.isOver) second.end();
  }
  return { events: first.events, refused, rowTimeMs, row };
}

/**
 * Returns all rows of one entity by time, as they were emitted last: those that events make and those that no event makes.
 *
 * @param untilMs - rows after it are left out
 */
export function rowsOfEntity(
  computation: ViewComputation,
  events: readonly FoundEvent[],
  { untilMs, allowedLatenessMs }: { readonly untilMs: number; readonly allowedLatenessMs: number },
): ReadonlyMap<number, Values> {
  const rows = new Map<number, Values>();
  const run = new EntityRun(computation, allowedLatenessMs, untilMs, undefined, (timeMs, values) => {
    if (timeMs <= untilMs) rows.set(timeMs, values);
  });
  for (const event of events) run.add(event);
  run.end();
  return rows;
}

interface Stop {
  readonly emission: number;
  readonly look: (row: ReplayedRow) => void;
}

class EntityRun {
  readonly events: ReplayedEvent[] = [];
  /** Which of the emitted rows is the newest, by number. */
  emission: number | undefined;
  rowTimeMs: number | undefined;
  refused: RefusedRow | undefined;
  isOver = false;
  readonly #computation: ViewComputation;
  readonly #latenessMs: number;
  readonly #atMs: number;
  readonly #stop: Stop | undefined;
  readonly #onRow: ((timeMs: number, values: Values) => void) | undefined;
  #state = emptyEntityState();
  /** Of the state, in the order they were counted. */
  #known: ReplayedEvent[] = [];
  #ids = new Map<string, { readonly content: number; readonly event: FoundEvent }>();
  #newest: ReplayedEvent | undefined;
  #emitted = 0;

  /** @param onRow - called with each row that no rule refuses */
  constructor(
    computation: ViewComputation,
    latenessMs: number,
    atMs: number,
    stop?: Stop,
    onRow?: (timeMs: number, values: Values) => void,
  ) {
    this.#computation = computation;
    this.#latenessMs = latenessMs;
    this.#atMs = atMs;
    this.#stop = stop;
    this.#onRow = onRow;
  }

  add(event: FoundEvent): void {
    const { eventTimeMs, arrivedAtMs, eventId, userId } = event;
    if (isLate(eventTimeMs, arrivedAtMs, this.#latenessMs)) {
      this.#leaveOut(event, 'late', latenessProblem(isoTime(eventTimeMs), eventTimeMs, arrivedAtMs, this.#latenessMs));
      return;
    }
    this.#forget(eventTimeMs);
    const id = `${userId ?? ''}\0${eventId}`;
    const content = contentHash(event.event);
    const held = this.#ids.get(id);
    if (held !== undefined) {
      const where = `the event at ${held.event.place ?? isoTime(held.event.eventTimeMs)} (${held.event.from})`;
      if (held.content === content) this.#leaveOut(event, 'repeated', `it repeats ${where}`);
      else this.#leaveOut(event, 'conflict', `${where} has this id and other content: the first one counts`);
      return;
    }
    const computation = this.#computation;
    const state = this.#state;
    const { latest } = state;
    this.#decay(eventTimeMs);
    const early = computation.earlyRows(state, eventTimeMs);
    const isNewest = latest === undefined || eventTimeMs >= latest.eventTimeMs;
    const isInTiles = eventTimeMs > state.tiles.newest - computation.tilesReachMs;
    let broken: string | undefined;
    let values: Values;
    try {
      values = computation.apply(state, event.event, eventTimeMs, (row) => {
        broken = this.#ruleBrokenBy(row);
      });
    } catch (error) {
      if (!(error instanceof FeatureComputationError)) throw error;
      this.#leaveOut(event, 'failed', error.message);
      return;
    }
    const earlier = isNewest ? latest : undefined;
    const replayed: ReplayedEvent = { ...event, fate: 'counted', reason: undefined, earlier, isInTiles };
    this.events.push(replayed);
    this.#known.push(replayed);
    this.#ids.set(id, { content, event });
    if (isNewest) this.#newest = replayed;
    this.#emit(eventTimeMs, values, replayed, broken);
    if (early !== undefined) computation.correct(state, early, (atMs, row) => this.#emitOfNewest(atMs, row));
  }

  /** Emits the rows that no event has made, up to the time. */
  end(): void {
    this.#decay(this.#atMs + 1);
  }

  #decay(beforeMs: number): void {
    this.#computation.decay(this.#state, beforeMs, (atMs, values) => this.#emitOfNewest(atMs, values));
  }

  /** An entity of which nothing can matter any more is forgotten, as the stream does. */
  #forget(eventTimeMs: number): void {
    const { latest } = this.#state;
    if (latest === undefined || eventTimeMs <= latest.eventTimeMs + this.#computation.horizonMs) return;
    this.#decay(eventTimeMs);
    this.#state = emptyEntityState();
    this.#known = [];
    this.#ids = new Map();
  }

  #leaveOut(event: FoundEvent, fate: Fate, reason: string): void {
    this.events.push({ ...event, fate, reason, earlier: undefined, isInTiles: false });
  }

  #ruleBrokenBy(values: Values): string | undefined {
    const [gravest] = violationsOf(this.#computation.view.rules, values);
    return gravest === undefined || gravest.rule.action === 'warn'
      ? undefined
      : `${gravest.name}: ${gravest.rule.description}`;
  }

  #emitOfNewest(timeMs: number, values: Values): void {
    this.#emit(timeMs, values, this.#newest as ReplayedEvent, this.#ruleBrokenBy(values));
  }

  #emit(timeMs: number, values: Values, of: ReplayedEvent, broken: string | undefined): void {
    if (this.isOver) return;
    this.#emitted += 1;
    if (this.#stop?.emission === this.#emitted) {
      this.isOver = true;
      this.#stop.look({ timeMs, values, known: this.#known, of, state: this.#state });
      return;
    }
    if (broken === undefined) this.#onRow?.(timeMs, values);
    if (timeMs > this.#atMs || timeMs < (this.rowTimeMs ?? Number.NEGATIVE_INFINITY)) return;
    if (broken !== undefined) {
      this.refused = { timeMs, rule: broken };
      return;
    }
    if (this.refused !== undefined && this.refused.timeMs <= timeMs) this.refused = undefined;
    this.rowTimeMs = timeMs;
    this.emission = this.#emitted;
  }
}
