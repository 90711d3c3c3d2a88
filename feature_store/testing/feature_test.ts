import { createEventValidator, type ValidateEvent } from '#connectors/gateway/events/event_validator';
import { type EntityState, emptyEntityState } from '#feature_store/aggregation/entity_state';
import { type EarlyRows, ViewComputation } from '#feature_store/aggregation/view_computation';
import { eventTimeOf } from '#kernel/event_fields';
import type { EventTime } from '#kernel/time';
import { type Duration, durationMs } from '#kernel/times/duration';
import { parseUtcTime } from '#kernel/times/utc_time';
import { checkContract } from '../contracts/check_contract.ts';
import { DefinitionError } from '../definitions/errors.ts';
import type { FeatureView, RowOf } from '../definitions/feature_view.ts';
import type { EventFields, EventSource } from '../definitions/sources/source.ts';
import { type EntityKey, entityKeyFromRow, entityKeyOf } from '../definitions/values/entity_key.ts';
import { type FeatureRow, type FeatureValue, viewId } from '../definitions/values/feature_row.ts';
import { valuesAsOf } from '../retrieval/as_of.ts';

/** What a test of features begins with. */
export interface FeatureTestOptions {
  /** The time at which the test begins: RFC 3339. */
  readonly now?: string;
  /** An event may be so much older than the clock's time; default: 7 days, as the platform's. */
  readonly allowedLateness?: Duration;
}

type Values = Readonly<Record<string, FeatureValue>>;

interface Known {
  readonly state: EntityState;
  /** Of the newest row. */
  values: Values;
  atMs: number;
  /** Of the newest event. */
  eventMs: number;
}

const DEFAULT_NOW = '2026-01-05T12:00:00Z';

/**
 * Computes views in memory, as stream and back-fill do, with a clock that the test sets: events in, rows out. It opens no port, writes no file and
 * starts no process.
 *
 * ```ts
 * const features = new FeatureTest([spendingView], { now: '2026-01-05T12:00:00Z' });
 * features.ingest({ event_id: 'e1', event_type: 'payment', account_id: 'a1', amount: 20, timestamp: features.now });
 * features.advance('2h');
 * features.row(spendingView, { account_id: 'a1' }).count_1h; // 0
 * ```
 */
export class FeatureTest {
  readonly #validate: ValidateEvent;
  readonly #views: readonly FeatureView[];
  readonly #computations: ReadonlyMap<FeatureView, ViewComputation>;
  readonly #known = new Map<FeatureView, Map<EntityKey, Known>>();
  readonly #seen = new Set<string>();
  #nowMs: number;

  /** @throws {@link DefinitionError} for a time that cannot be read */
  constructor(
    views: readonly FeatureView[],
    { now = DEFAULT_NOW, allowedLateness = '7d' as Duration }: FeatureTestOptions = {},
  ) {
    const allowedLatenessMs = durationMs(allowedLateness);
    this.#views = views;
    this.#nowMs = timeOf(now);
    this.#validate = createEventValidator([...new Set(views.flatMap(({ sources }) => sources))], { allowedLatenessMs });
    this.#computations = new Map(views.map((view) => [view, new ViewComputation(view, allowedLatenessMs)]));
    for (const view of views) this.#known.set(view, new Map());
  }

  /** The clock's time, as RFC 3339. */
  get now(): string {
    return new Date(this.#nowMs).toISOString();
  }

  /** Moves the clock forward. */
  advance(by: Duration): void {
    this.#nowMs += durationMs(by);
  }

  /** Sets the clock to a later time. @throws {@link DefinitionError} for an earlier one */
  setTime(now: string): void {
    const nowMs = timeOf(now);
    if (nowMs < this.#nowMs) throw new DefinitionError([`the clock is at ${this.now}: it cannot go back to ${now}`]);
    this.#nowMs = nowMs;
  }

  /**
   * Takes events as POST /ingest takes them: checked by their source's schema; a repeated id of a user counts once in its source.
   *
   * @returns how many were new
   * @throws InvalidEventError with every field that is wrong; FeatureComputationError when a feature's function fails
   */
  ingest(...events: readonly EventFields[]): number {
    let taken = 0;
    for (const given of events) {
      const { eventId, source: type, userId, fields } = this.#validate(given, this.#nowMs);
      const identity = JSON.stringify([type, userId ?? null, eventId]);
      if (this.#seen.has(identity)) continue;
      this.#seen.add(identity);
      taken += 1;
      for (const view of this.#views) {
        const source = view.sources.find(({ eventTypes }) => eventTypes.includes(String(fields.event_type)));
        if (source !== undefined) this.#count(view, source, fields);
      }
    }
    return taken;
  }

  /**
   * Returns an entity's newest row as the feature API answers it at the clock's time; undefined where no event of it was ingested.
   *
   * @param ids - the entity's join keys, such as `{ account_id: 'a1' }`
   */
  row<V extends FeatureView>(view: V, ids: Readonly<Record<string, unknown>>): RowOf<V> | undefined {
    const known = this.#known.get(view)?.get(entityKeyFromRow(view, ids));
    if (known === undefined) return undefined;
    this.#decay(view, known, this.#nowMs + 1);
    return valuesAsOf(view, known.values, this.#nowMs) as RowOf<V>;
  }

  /**
   * Returns the terms of a view's contract that its rows break at the clock's time, by the newest row of each entity: `['freshness', 'missing amount']`.
   *
   * @throws {@link DefinitionError} for a view without a contract
   */
  async brokenTerms(view: FeatureView): Promise<readonly string[]> {
    if (view.contract === undefined) throw new DefinitionError([`view ${viewId(view)} has no contract`]);
    const rows = [...(this.#known.get(view)?.values() ?? [])];
    const terms = await checkContract(
      {
        statistics: { list: async () => [] },
        features: {
          timesOf: async () => {
            const newest = Math.max(...rows.map(({ eventMs }) => eventMs)) as EventTime;
            return rows.length === 0 ? undefined : { oldest: newest, newest };
          },
          rowsBetween: async (_, { from, to }) =>
            rows
              .filter(({ atMs }) => atMs >= from && atMs < to)
              .map(({ values }) => ({ values }) as unknown as FeatureRow),
        },
      },
      view,
      this.#nowMs,
    );
    return terms
      .filter(({ holds }) => !holds)
      .map(({ term, feature }) => (feature === undefined ? term : `${term} ${feature}`));
  }

  #count(view: FeatureView, source: EventSource, event: EventFields): void {
    const computation = this.#computations.get(view) as ViewComputation;
    const entities = this.#known.get(view) as Map<EntityKey, Known>;
    const key = entityKeyOf(view.entity, event);
    const known: Known = entities.get(key) ?? {
      ...{ state: emptyEntityState(), values: {}, atMs: Number.NEGATIVE_INFINITY, eventMs: Number.NEGATIVE_INFINITY },
    };
    const time = eventTimeOf(event, source, this.#nowMs);
    if ('problem' in time) throw new DefinitionError([time.problem]);
    const { timeMs } = time;
    known.eventMs = Math.max(known.eventMs, timeMs);
    this.#decay(view, known, timeMs);
    const early: EarlyRows | undefined = computation.earlyRows(known.state, timeMs);
    keepNewest(known, timeMs, computation.apply(known.state, event, timeMs));
    if (early !== undefined) {
      computation.correct(known.state, early, (at, values) => keepNewest(known, at, values));
    }
    entities.set(key, known);
  }

  #decay(view: FeatureView, known: Known, beforeMs: number): void {
    this.#computations.get(view)?.decay(known.state, beforeMs, (at, values) => keepNewest(known, at, values));
  }
}

function keepNewest(known: Known, atMs: number, values: Values): void {
  if (atMs < known.atMs) return;
  known.values = values;
  known.atMs = atMs;
}

function timeOf(text: string): number {
  const timeMs = parseUtcTime(text);
  if (timeMs === undefined) throw new DefinitionError([`"${text}" is no time: write it as 2026-01-05T12:00:00Z`]);
  return timeMs;
}
