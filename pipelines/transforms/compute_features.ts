import type { Span } from '@opentelemetry/api';
import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import { type EntityState, emptyEntityState } from '#feature_store/aggregation/entity_state';
import { mergeFeatures } from '#feature_store/aggregation/merge_features';
import { type EarlyRows, ViewComputation } from '#feature_store/aggregation/view_computation';
import { adaptLayout, type ViewLayout } from '#feature_store/aggregation/view_layout';
import { dataFingerprint, viewData } from '#feature_store/definitions/definition_data';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { idOwnerOf } from '#feature_store/definitions/joined_sources';
import { type Violation, violationsOf } from '#feature_store/definitions/rules/quality_rule';
import type { Entity } from '#feature_store/definitions/sources/source';
import { type EntityKey, identifies, keyIn } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, viewId } from '#feature_store/definitions/values/feature_row';
import { entityKeyFromPrevious } from '#feature_store/definitions/values/previous_entity_key';
import { valueText } from '#feature_store/definitions/values/value_codec';
import { Erasures } from '#feature_store/erasure/erasures';
import { FeatureComputationError } from '#feature_store/errors';
import { contentHash } from '#kernel/hashes/content_hash';
import { eventTime, HOUR_MS } from '#kernel/time';
import { isLate, latenessProblem } from '#kernel/times/event_time_text';
import type { Logger } from '#monitoring/log';
import { traceparentOf } from '#monitoring/tracing';
import {
  type DoFn,
  eventTimer,
  type KeyLayout,
  type OnTimerContext,
  outputTag,
  type ProcessContext,
  processingTimer,
  type StateSpec,
  type TimerSpec,
  type ValueSchema,
  type ValueState,
  valueState,
} from '#pipelines/engine/dofn';
import type { JobState } from '#pipelines/engine/state/job_state';
import type { KV } from '#pipelines/model/pcollection';
import { type DecodedEvent, type ErasedEntity, jsonOfEvent } from '../events/decode_events.ts';
import { EventCounter } from './event_counter.ts';
import { startComputing } from './event_traces.ts';
import {
  type CountedEvents,
  DEFAULT_FAILURE_LIMIT,
  type FailureCounts,
  type FailureLimit,
  failureCounts,
} from './failure_limit.ts';
import type { FeatureMetrics } from './feature_metrics.ts';
import { currentIds, type EventIdentity, fateOf, MOST_IDS, noIds, type RecentIds, rememberId } from './recent_ids.ts';

/** Records that no feature may see. */
export const DEAD = outputTag<DeadLetter>('dead');

/** Parts what can be used from what cannot. */
export class SplitInvalid implements DoFn<DecodedEvent, DecodedEvent> {
  readonly #metrics: FeatureMetrics;
  readonly #counter: EventCounter;

  constructor(metrics: FeatureMetrics, { allowedLatenessMs }: { readonly allowedLatenessMs: number }) {
    this.#metrics = metrics;
    this.#counter = new EventCounter(metrics, allowedLatenessMs);
  }

  process(element: DecodedEvent, context: ProcessContext<DecodedEvent>): void {
    if (element.ok !== false) {
      if (element.ok === true) this.#counter.add(element);
      context.output(element);
      return;
    }
    this.#metrics.failed.inc({ reason: 'invalid' });
    const timestamp = new Date(context.clock.now()).toISOString();
    const { ok: _, ...refused } = element;
    context.outputTo(DEAD, { ...refused, stage: 'pipeline.decode', timestamp });
  }
}

/** A computed row on its way to the stores. */
export interface ComputedRow {
  readonly row: FeatureRow;
  readonly receivedAtMs: number | undefined;
  /** Made by an event; others say that something has left a window. */
  readonly isOfEvent: boolean;
  /** Of its computation, where traces are recorded. */
  readonly traceparent?: string | undefined;
}

type UsableEvent = Extract<DecodedEvent, { ok: true }>;

const identityOf = (view: FeatureView, event: UsableEvent): EventIdentity => ({
  eventId: event.eventId,
  userId: idOwnerOf(view, event),
});

/** So long after a change is due it is written although no events move the watermark: one may still be on its way, ms. */
const QUIET_MS = 3_000;
/** How often the end of a session is looked at that waits for a snapshot, ms. */
const RELEASE_MS = 200;
/** Ids are kept longer than their events can count, for partitions that are not read in step, ms. */
const IDS_KEPT_LONGER_MS = HOUR_MS;

/** A bundle's events, as the failure limit counts them. */
const noEvents = (): { events: number; failed: number; reason: string | undefined } => ({
  ...{ events: 0, failed: 0, reason: undefined },
});

export interface ComputeDeps {
  readonly metrics: FeatureMetrics;
  readonly log: Logger;
  /** None are known without it. */
  readonly erasures?: Erasures | undefined;
  /** All that there are. */
  readonly entities?: readonly Entity[] | undefined;
}

export interface ComputeSettings {
  readonly allowedLatenessMs: number;
  /** Ids that are kept of one entity at most. */
  readonly maxIdsPerEntity?: number | undefined;
  /** Events come as they happen: what changes without them is written in time, and not only when others come. */
  readonly isLive: boolean;
  readonly failureLimit?: FailureLimit | undefined;
  /** Ids of views that start again although they had stopped. */
  readonly resumedViews?: readonly string[] | undefined;
  /**
   * By source, entities of views before this one with that source, whose views report that an event is repeated or late, where the event identifies one of
   * them: lateness and repetition are the same in all views, and are reported once. Default: none.
   */
  readonly reportedBy?: ReadonlyMap<string, readonly Entity[]>;
}

/** Everything that is remembered of an entity, in one place: it is all needed at each event. */
interface Remembered {
  readonly entity: EntityState;
  seen: RecentIds;
  /** Time of the newest erasure that it has outlived, ms; absent in state of before there were erasures. */
  outlived?: number;
  /** Time of the newest erasure that its newest event was looked through for, ms. */
  lookedThrough?: number;
}

/** Returns how the state of one entity takes some features over from a back-fill's state, as cells of {@link ComputeFeatures}. */
export function mergeOfFeatures(
  view: FeatureView,
  names: readonly string[],
  allowedLatenessMs: number,
): (own: readonly unknown[], filled: readonly unknown[]) => unknown[] {
  const of = new ViewComputation(view, allowedLatenessMs).stateOf(new Set(names));
  return ([own], [filled]) => {
    if (own === undefined || filled === undefined) return [own ?? filled];
    const [held, computed] = [own as Remembered, filled as Remembered];
    return [{ ...held, entity: mergeFeatures(held.entity, computed.entity, of) }];
  };
}

function rememberedSchema(layout: ViewLayout, beforeSave: (value: Remembered) => void): ValueSchema<Remembered> {
  return {
    layout,
    beforeSave,
    adapt(saved) {
      const adapted = adaptLayout(saved as ViewLayout, layout);
      if (typeof adapted === 'string') return { refused: adapted };
      const { changes, convert } = adapted;
      return {
        changes,
        convert: (value) => ({ ...(value as Remembered), entity: convert((value as Remembered).entity) }),
      };
    },
  };
}

/** What stands for an id that was erased. */
const ERASED = 'erased';

/** Keys that cannot be read and are logged. */
const LOGGED_KEYS = 5;

/** Keys before entity keys were ids alone (docs/adr/0017). What is under one that cannot be read is dropped, and logged. */
function entityKeyLayout(view: FeatureView, log: Logger): KeyLayout {
  const dropped = new Set<unknown>();
  return {
    layout: 'entity',
    adapt(saved) {
      const read = entityKeyFromPrevious(view, String(saved));
      if ('key' in read) return read.key;
      if (!dropped.has(saved) && dropped.size < LOGGED_KEYS) {
        const key = String(saved);
        log.warn(
          { component: 'pipelines.features', view: viewId(view), key, problem: read.problem },
          'state.key_dropped',
        );
      }
      dropped.add(saved);
      return undefined;
    },
  };
}

/**
 * The stateful heart of a feature pipeline, one for each view: per entity, drops duplicates, counts events into tiles and emits the row
 * as of the event; and, when events leave a window, the row as of then. Out-of-order events count, and rows that were emitted too early are emitted again with them;
 * events that arrived more than `allowedLatenessMs` after their time go to the dead letters (docs/adr/0020). Two events of one entity at the same millisecond share a
 * row: that of the one read last, which includes both.
 *
 * An event for which a function of the view throws, or gives a value of another type than declared, goes to the dead letters and leaves no trace in
 * the state. When too many do in the whole job, on all of its threads together, the view stops with the next bundle: its events are passed over, also after a restart, until its
 * definition changes or it is resumed; other views continue. A stopped view still reports what is repeated, late or in conflict.
 */
export class ComputeFeatures implements DoFn<KV<EntityKey, UsableEvent | ErasedEntity>, ComputedRow> {
  readonly remembered: StateSpec<ValueState<Remembered>>;
  /** For what changes without events, and in the end to forget the entity. */
  readonly wake = eventTimer('wake');
  /** For the same when no events move the watermark. */
  readonly quiet = processingTimer('quiet');
  /** Of all threads of the job. */
  readonly failures: JobState<FailureCounts, CountedEvents>;
  /** For ends of sessions whose events no snapshot holds yet. */
  readonly release = processingTimer('release');
  readonly keyLayout: KeyLayout;
  readonly #computation: ViewComputation;
  readonly #allowedLatenessMs: number;
  readonly #maxIds: number;
  readonly #isLive: boolean;
  readonly #metrics: FeatureMetrics;
  readonly #reportedBy: ReadonlyMap<string, readonly Entity[]>;
  readonly #log: Logger;
  readonly #erasures: Erasures;
  /** Other entities that the view's events name. */
  readonly #others: readonly Entity[];
  readonly #id: string;
  /** Of the bundle under way, on this thread. */
  #counted = noEvents();
  /** The bundle in which an entity's newest session has changed; state that is not in it is of the snapshot that the job resumed from. */
  readonly #changedIn = new WeakMap<EntityState, number>();
  #bundle = 0;
  /** The newest bundle whose effects are durable. */
  #durableBundle = 0;
  /** The newest bundle for which {@link #durableBundle} will be set. */
  #notedBundle = 0;

  constructor(view: FeatureView, deps: ComputeDeps, settings: ComputeSettings) {
    this.#isLive = settings.isLive;
    this.#reportedBy = settings.reportedBy ?? new Map();
    this.#computation = new ViewComputation(view, settings.allowedLatenessMs);
    this.remembered = valueState(
      'remembered',
      rememberedSchema(this.#computation.layout, (value) => this.#forgetOthers(value)),
    );
    this.#others = (deps.entities ?? []).filter(
      ({ name, joinKeys }) => name !== view.entity.name && joinKeys.every((key) => key in view.events.schema.shape),
    );
    this.#allowedLatenessMs = settings.allowedLatenessMs;
    this.#maxIds = settings.maxIdsPerEntity ?? MOST_IDS;
    this.#metrics = deps.metrics;
    this.#log = deps.log;
    this.#erasures = deps.erasures ?? new Erasures();
    this.keyLayout = entityKeyLayout(view, deps.log);
    this.#id = viewId(view);
    this.failures = failureCounts({
      limit: settings.failureLimit ?? DEFAULT_FAILURE_LIMIT,
      identity: dataFingerprint(viewData(view)),
      isResumed: settings.resumedViews?.includes(this.#id) === true,
      onStop: (counts, reason) => this.#reportStop(counts, reason),
    });
    this.#metrics.stoppedViews.set({ view: this.#id }, 0);
  }

  startBundle(): void {
    this.#bundle += 1;
    this.#counted = noEvents();
  }

  finishBundle(): void {
    if (this.#counted.events > 0) this.failures.add(this.#counted);
    this.#counted = noEvents();
  }

  process({ key, value }: KV<EntityKey, UsableEvent | ErasedEntity>, context: ProcessContext<ComputedRow>): void {
    if (value.ok === 'erasure') {
      this.#erase(key, value, context);
      return;
    }
    if (this.#erasures.isErased(key, value.knownAtMs)) {
      this.#metrics.events.inc({ view: this.#id, outcome: 'erased' });
      return;
    }
    const { traceparent } = value;
    if (traceparent === undefined) {
      this.#process(key, value, undefined, context);
      return;
    }
    const span = startComputing(traceparent, this.#computation.view);
    this.#process(key, value, span, context);
    span.end();
  }

  #process(key: EntityKey, value: UsableEvent, span: Span | undefined, context: ProcessContext<ComputedRow>): void {
    const { eventTimeMs, arrivedAtMs, watermark } = value;
    if (isLate(eventTimeMs, arrivedAtMs, this.#allowedLatenessMs)) {
      this.#metrics.events.inc({ view: this.#id, outcome: 'late' });
      // Too late for one view is too late for all of its source: the event is refused once.
      if (this.#reports(value)) this.#refuseLate(value, context);
      return;
    }
    const cell = context.state(this.remembered);
    const remembered = this.#outliving(key, cell.read()) ?? {
      ...{ entity: emptyEntityState(), seen: noIds(), outlived: this.#erasures.newestMs },
    };
    remembered.seen = currentIds(remembered.seen);
    const identity = identityOf(this.#computation.view, value);
    const content = contentHash(value.event);
    const fate = fateOf(remembered.seen, identity, content);
    if (fate === 'conflict') {
      this.#refuseConflict(value, context);
      return;
    }
    if (fate === 'repeated') {
      if (this.#reports(value)) this.#metrics.duplicates.inc();
      this.#metrics.events.inc({ view: this.#id, outcome: 'duplicate' });
      this.#metrics.violations.inc({ view: viewId(this.#computation.view), rule: 'unique_event_id', action: 'drop' });
      return;
    }
    if (eventTimeMs < watermark && this.#reports(value)) this.#metrics.late.inc();
    if (eventTimeMs < remembered.seen.forgottenBeforeMs) this.#metrics.uncheckedIds.inc({ view: this.#id });
    if (this.failures.read().isExceeded) {
      this.#metrics.failed.inc({ reason: 'view_stopped' });
      this.#metrics.events.inc({ view: this.#id, outcome: 'view_stopped' });
      return;
    }
    const startedMs = performance.now();
    const state = remembered.entity;
    const isNew = state.latest === undefined;
    this.#decay(key, state, eventTimeMs, context, value);
    const early = this.#computation.earlyRows(state, eventTimeMs);
    const isNewest = state.latest === undefined || eventTimeMs > state.latest.eventTimeMs;
    const ends = isNewest ? this.#endsToNote(state, eventTimeMs, context) : [];
    let violations: readonly Violation[] = [];
    let values: FeatureRow['values'];
    try {
      const { rules } = this.#computation.view;
      values = this.#computation.apply(state, value.event, eventTimeMs, (row) => {
        violations = violationsOf(rules, row);
      });
    } catch (error) {
      if (!(error instanceof FeatureComputationError)) throw error;
      // Rows of before its time are out: their times are reported.
      if (!isNew) {
        cell.write(remembered);
        this.#setTimers(state, context);
      }
      this.#fail(error, value, key, context);
      return;
    }
    if (isNewest) this.#noteChange(state, context);
    this.#remember(remembered.seen, identity, content, eventTimeMs, context.inputWatermark);
    this.#counted.events += 1;
    this.#metrics.computationSeconds.observe((performance.now() - startedMs) / 1_000);
    this.#metrics.events.inc({ view: this.#id, outcome: 'computed' });
    this.#output(key, eventTimeMs, values, violations, value, context, span);
    if (early !== undefined || ends.length > 0) this.#correct(key, state, early, ends, context);
    cell.write(remembered);
    this.#setTimers(state, context);
  }

  /** Ids are kept as long as an event with them can still arrive and count. */
  #remember(seen: RecentIds, identity: EventIdentity, content: number, timeMs: number, watermarkMs: number): void {
    const oldestMs = watermarkMs - this.#allowedLatenessMs - IDS_KEPT_LONGER_MS;
    const forgotten = rememberId(seen, identity, content, timeMs, oldestMs, this.#maxIds);
    if (forgotten > 0) this.#metrics.forgottenIds.inc({ view: this.#id }, forgotten);
  }

  /** Returns state that no erasure is newer than; undefined for what was erased, as after a restore of an older snapshot. */
  #outliving(key: EntityKey, remembered: Remembered | undefined): Remembered | undefined {
    const { newestMs } = this.#erasures;
    const outlived = remembered?.outlived ?? Number.NEGATIVE_INFINITY;
    if (remembered === undefined || outlived >= newestMs) return remembered;
    const erasedAtMs = this.#erasures.erasedAtMs(key);
    if (erasedAtMs !== undefined && erasedAtMs > outlived) return undefined;
    remembered.outlived = newestMs;
    return remembered;
  }

  /** The newest event of an entity names others, such as the user of an account: who was erased is not named any more. */
  #forgetOthers(remembered: Remembered): void {
    const { newestMs } = this.#erasures;
    const { latest } = remembered.entity;
    if (latest === undefined || !((remembered.lookedThrough ?? Number.NEGATIVE_INFINITY) < newestMs)) return;
    remembered.lookedThrough = newestMs;
    for (const other of this.#others) {
      const key = keyIn(other, latest.event);
      if (key === undefined || !this.#erasures.isErased(key, latest.eventTimeMs)) continue;
      const event: Record<string, unknown> = { ...latest.event };
      for (const field of other.joinKeys) {
        if (typeof event[field] === 'string') event[field] = ERASED;
        else delete event[field];
      }
      remembered.entity.latest = { ...latest, event };
    }
  }

  /** Forgets an entity: its state, the ids of its events, its timers. */
  #erase(key: EntityKey, { erasedAtMs }: ErasedEntity, context: ProcessContext<ComputedRow>): void {
    this.#erasures.add(key, erasedAtMs);
    const cell = context.state(this.remembered);
    const remembered = cell.read();
    // It may have been read twice, and the entity may be here again.
    if (remembered === undefined || this.#outliving(key, remembered) !== undefined) return;
    cell.clear();
    context.timer(this.wake).clear();
    context.timer(this.quiet).clear();
    context.timer(this.release).clear();
  }

  /** Whether no other view reports that the event is repeated or late. */
  #reports({ source, event }: UsableEvent): boolean {
    return this.#reportedBy.get(source)?.some((entity) => identifies(entity, event)) !== true;
  }

  /** An event that the view's own functions cannot take. */
  #fail(
    error: FeatureComputationError,
    event: UsableEvent,
    key: EntityKey,
    context: ProcessContext<ComputedRow>,
  ): void {
    this.#metrics.failed.inc({ reason: 'computation' });
    this.#metrics.events.inc({ view: this.#id, outcome: 'failed' });
    this.#metrics.failures.inc({ view: this.#id, feature: error.feature });
    const reason = `${error.message}; event ${event.eventId} of ${key}`;
    this.#toDeadLetters(event, reason, 'pipeline.compute_features', context);
    this.#counted.events += 1;
    this.#counted.failed += 1;
    this.#counted.reason ??= reason;
  }

  #reportStop({ events, failed }: FailureCounts, reason: string | undefined): void {
    this.#metrics.stoppedViews.set({ view: this.#id }, 1);
    const counts = { events: Math.round(events), failed: Math.round(failed) };
    this.#log.error({ component: 'pipelines.features', view: this.#id, ...counts, reason }, 'view.stopped');
  }

  /** @param origin - the event that made the row; undefined when something left a window */
  #output(
    key: EntityKey,
    asOfMs: number,
    values: FeatureRow['values'],
    violations: readonly Violation[],
    origin: UsableEvent | undefined,
    context: ProcessContext<ComputedRow>,
    span?: Span,
  ): void {
    const { view, version } = this.#computation.view;
    if (violations.length > 0 && this.#isRefused(violations, values, origin, context)) return;
    const computed: ComputedRow = {
      row: { view, version, entityKey: key, eventTime: eventTime(asOfMs), computedAt: context.clock.now(), values },
      receivedAtMs: origin?.receivedAtMs,
      isOfEvent: origin !== undefined,
    };
    const traceparent = traceparentOf(span);
    context.output(traceparent === undefined ? computed : { ...computed, traceparent });
  }

  /** Counts broken rules, once an event; one that is not written because of them may go to the dead letters. */
  #isRefused(
    violations: readonly Violation[],
    values: FeatureRow['values'],
    origin: UsableEvent | undefined,
    context: ProcessContext<ComputedRow>,
  ): boolean {
    const [gravest] = violations as readonly [Violation, ...Violation[]];
    const { action } = gravest.rule;
    if (origin !== undefined) {
      const view = viewId(this.#computation.view);
      for (const { name, rule } of violations) this.#metrics.violations.inc({ view, rule: name, action: rule.action });
      if (action !== 'warn') {
        this.#metrics.failed.inc({ reason: 'quality' });
        this.#metrics.events.inc({ view, outcome: 'refused' });
      }
      if (action === 'dead_letter') {
        const seen = gravest.rule.features.map((feature) => `${feature} = ${valueText(values[feature])}`);
        this.#toDeadLetters(
          origin,
          `quality: ${view} breaks ${gravest.name}: ${gravest.rule.description}; it has ${seen.join(', ')}`,
          'pipeline.quality',
          context,
        );
      }
    }
    return action !== 'warn';
  }

  /**
   * Rows as of every change before `beforeMs`. A row that cannot be computed is passed over; the first of them goes to the dead letters.
   *
   * @param event - that made it necessary; undefined: a timer did
   */
  #decay(
    key: EntityKey,
    state: EntityState,
    beforeMs: number,
    context: ProcessContext<ComputedRow>,
    event?: UsableEvent,
  ): void {
    const { emit, fail } = this.#rowsWithoutEvent(key, state, this.#metrics.decayed, context, event);
    // A row of before an event is none of the newest.
    this.#computation.decay(state, beforeMs, emit, fail, event !== undefined || this.#isDurable(state));
  }

  /**
   * Whether a snapshot holds the newest session of an entity. A row of its end is emitted only then: after a crash the job resumes from a snapshot that knows of it, and can emit it
   * again when an event that is read only then has moved the end (docs/adr/0020).
   */
  #isDurable(state: EntityState): boolean {
    return (this.#changedIn.get(state) ?? 0) <= this.#durableBundle;
  }

  /** Ends of sessions as the snapshot had them: a job that ended in a crash may have emitted rows of those that are due. */
  #endsToNote(state: EntityState, eventTimeMs: number, context: ProcessContext<ComputedRow>): readonly number[] {
    if (!this.#computation.hasSessions || this.#changedIn.has(state)) return [];
    return this.#computation.openEnds(state, eventTimeMs, context.clock.now());
  }

  #noteChange(state: EntityState, context: ProcessContext<ComputedRow>): void {
    if (!this.#computation.hasSessions) return;
    const bundle = this.#bundle;
    this.#changedIn.set(state, bundle);
    if (this.#notedBundle === bundle) return;
    this.#notedBundle = bundle;
    context.afterBundleCommit(() => {
      this.#durableBundle = Math.max(this.#durableBundle, bundle);
    });
  }

  /** Emits rows again that were emitted without an event of before their time. */
  #correct(
    key: EntityKey,
    state: EntityState,
    early: EarlyRows | undefined,
    ends: readonly number[],
    context: ProcessContext<ComputedRow>,
  ): void {
    const { emit, fail } = this.#rowsWithoutEvent(key, state, this.#metrics.corrected, context);
    if (early !== undefined) this.#computation.correct(state, early, emit, fail, this.#isDurable(state));
    this.#computation.correctEnds(state, ends, emit, fail);
  }

  #rowsWithoutEvent(
    key: EntityKey,
    state: EntityState,
    counter: FeatureMetrics['decayed'],
    context: ProcessContext<ComputedRow>,
    event?: UsableEvent,
  ) {
    let hasFailed = false;
    const fail = (asOfMs: number, error: FeatureComputationError): void => {
      this.#metrics.failures.inc({ view: this.#id, feature: error.feature });
      if (hasFailed) return;
      hasFailed = true;
      const reason = `${error.message}; as of ${new Date(asOfMs).toISOString()}, ${key}`;
      const shown = event ?? { payload: jsonOfEvent(state.latest?.event ?? null), attempt: 1 };
      // The event itself is counted: replayed, it would be a duplicate.
      this.#toDeadLetters(shown, reason, 'pipeline.decay', context);
    };
    const emit = (asOfMs: number, values: FeatureRow['values']): void => {
      let violations: readonly Violation[];
      try {
        violations = violationsOf(this.#computation.view.rules, values);
      } catch (error) {
        fail(asOfMs, new FeatureComputationError(this.#id, 'rules', error));
        return;
      }
      counter.inc();
      this.#output(key, asOfMs, values, violations, undefined, context);
    };
    return { emit, fail };
  }

  #setTimers(state: EntityState, context: ProcessContext<ComputedRow>): void {
    const next = this.#computation.nextChange(state);
    if (next !== undefined && next <= context.inputWatermark && this.#isHeld(state, next)) {
      // The watermark has passed it: nothing but time fires it.
      context.timer(this.wake).clear();
      context.timer(this.release).setAfter(RELEASE_MS);
    } else context.timer(this.wake).set(next ?? this.#forgetAt(state));
    if (!this.#isLive || next === undefined) return;
    context.timer(this.quiet).set(Math.max(next, context.clock.now()) + QUIET_MS);
  }

  #isHeld(state: EntityState, atMs: number): boolean {
    return this.#computation.hasSessions && !this.#isDurable(state) && this.#computation.endsSession(state, atMs);
  }

  #forgetAt({ latest }: EntityState): number {
    return (latest?.eventTimeMs ?? 0) + this.#computation.horizonMs;
  }

  onTimer(timer: TimerSpec, context: OnTimerContext<ComputedRow, EntityKey>): void {
    const cell = context.state(this.remembered);
    const held = cell.read();
    const remembered = this.#outliving(context.key, held);
    if (held !== undefined && remembered === undefined) cell.clear();
    const nowMs = context.clock.now();
    const isQuiet = timer.id === this.quiet.id;
    const isRelease = timer.id === this.release.id;
    // At the end of a bounded input all timers fire. What has not come about yet is not told: more events may come another time.
    if (remembered === undefined || (timer.id === this.wake.id && context.firedAt > nowMs)) return;
    const state = remembered.entity;
    const dueMs = isQuiet ? nowMs - QUIET_MS : isRelease ? Math.min(context.inputWatermark, nowMs) : context.firedAt;
    this.#decay(context.key, state, dueMs + 1, context);
    if (
      isQuiet ||
      isRelease ||
      this.#computation.nextChange(state) !== undefined ||
      this.#forgetAt(state) > context.firedAt
    ) {
      cell.write(remembered);
      this.#setTimers(state, context);
      return;
    }
    cell.clear();
  }

  #refuseLate(value: UsableEvent, context: ProcessContext<ComputedRow>): void {
    this.#metrics.failed.inc({ reason: 'late' });
    const { eventId, eventTimeMs, arrivedAtMs } = value;
    const time = new Date(eventTimeMs).toISOString();
    const problem = latenessProblem(time, eventTimeMs, arrivedAtMs, this.#allowedLatenessMs);
    this.#toDeadLetters(
      value,
      `late: event ${JSON.stringify(eventId)} of ${problem}`,
      'pipeline.compute_features',
      context,
    );
  }

  /** Which of two events with one id is meant is not for the pipeline to say: the first one counts. */
  #refuseConflict(value: UsableEvent, context: ProcessContext<ComputedRow>): void {
    this.#metrics.failed.inc({ reason: 'event_id_conflict' });
    this.#metrics.events.inc({ view: this.#id, outcome: 'event_id_conflict' });
    this.#toDeadLetters(
      value,
      `event_id_conflict: ${this.#id} has counted an event of this user with the id ${JSON.stringify(value.eventId)} and other content: send another event under another id`,
      'pipeline.compute_features',
      context,
    );
  }

  #toDeadLetters(
    { payload, attempt, origin }: Pick<UsableEvent, 'payload' | 'attempt' | 'origin'>,
    reason: string,
    stage: string,
    context: ProcessContext<ComputedRow>,
  ): void {
    const timestamp = new Date(context.clock.now()).toISOString();
    context.outputTo(DEAD, { payload, reason, stage, attempt, timestamp, ...(origin === undefined ? {} : { origin }) });
  }
}
