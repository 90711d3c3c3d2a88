import type { Span } from '@opentelemetry/api';
import type { DeadLetter } from '#connectors/dead_letters';
import { type EntityState, emptyEntityState, ViewComputation } from '#feature_store/aggregation/view_computation';
import type { EntityKey } from '#feature_store/definitions/entity_key';
import { type FeatureRow, viewId } from '#feature_store/definitions/feature_row';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { type Violation, violationsOf } from '#feature_store/definitions/quality_rule';
import { eventTime } from '#kernel/time';
import { traceparentOf } from '#monitoring/tracing';
import {
  type DoFn,
  eventTimer,
  type OnTimerContext,
  outputTag,
  type ProcessContext,
  processingTimer,
  type TimerSpec,
  valueState,
} from '#pipelines/engine/dofn';
import type { KV } from '#pipelines/model/pcollection';
import type { DecodedEvent } from './decode_events.ts';
import { startComputing } from './event_traces.ts';
import type { FeatureMetrics } from './feature_metrics.ts';
import { addId, noIds, type RecentIds } from './recent_ids.ts';

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
  /** Made by an event; others say that something has left a window. */
  readonly isOfEvent: boolean;
  /** Of its computation, where somebody looks at traces. */
  readonly traceparent?: string | undefined;
}

type UsableEvent = Extract<DecodedEvent, { ok: true }>;

/** So long after a change is due it is told although no events move the watermark: one may still be on its way, ms. */
const QUIET_MS = 3_000;

/** Everything that is remembered of an entity, in one place: it is all needed at each event. */
interface Remembered {
  readonly entity: EntityState;
  readonly seen: RecentIds;
}

/**
 * The stateful heart of a feature pipeline, one for each view: per entity, drops duplicates, counts events into tiles and emits the row
 * as of the event; and, when events leave a window, the row as of then. Late events count in; those older than `allowedLatenessMs` go to the dead letters. Two events of one entity at
 * the same millisecond share a row: the later one's, which includes both.
 */
export class ComputeFeatures implements DoFn<KV<EntityKey, UsableEvent>, ComputedRow> {
  readonly remembered = valueState<Remembered>('remembered');
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

  process({ key, value }: KV<EntityKey, UsableEvent>, context: ProcessContext<ComputedRow>): void {
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
    const { eventTimeMs } = value;
    const cell = context.state(this.remembered);
    const remembered = cell.read() ?? { entity: emptyEntityState(), seen: noIds() };
    // An id whose event would be refused as too late needs no remembering.
    const oldestMs = context.inputWatermark - this.#allowedLatenessMs;
    if (!addId(remembered.seen, value.eventId, eventTimeMs, oldestMs)) {
      this.#metrics.duplicates.inc();
      this.#metrics.violations.inc({ view: viewId(this.#computation.view), rule: 'unique_event_id', action: 'drop' });
      return;
    }
    cell.write(remembered);
    const { watermark } = value;
    if (eventTimeMs < watermark) {
      this.#metrics.late.inc();
      if (eventTimeMs < watermark - this.#allowedLatenessMs) {
        this.#refuseLate(value, watermark, context);
        return;
      }
    }
    const startedMs = performance.now();
    const state = remembered.entity;
    this.#decay(key, state, eventTimeMs, context);
    const values = this.#computation.apply(state, value.event, eventTimeMs);
    this.#setTimers(state, context);
    this.#metrics.computationSeconds.observe((performance.now() - startedMs) / 1_000);
    this.#metrics.processed.inc();
    this.#output(key, eventTimeMs, values, value, context, span);
  }

  /** @param origin - the event that made the row; undefined when something left a window */
  #output(
    key: EntityKey,
    asOfMs: number,
    values: FeatureRow['values'],
    origin: UsableEvent | undefined,
    context: ProcessContext<ComputedRow>,
    span?: Span,
  ): void {
    const { view, version, rules } = this.#computation.view;
    const violations = violationsOf(rules, values);
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
      if (action !== 'warn') this.#metrics.failed.inc({ reason: 'quality' });
      if (action === 'dead_letter') {
        const seen = gravest.rule.features.map((feature) => `${feature} = ${JSON.stringify(values[feature] ?? null)}`);
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

  /** Rows as of every change before `beforeMs`. */
  #decay(key: EntityKey, state: EntityState, beforeMs: number, context: ProcessContext<ComputedRow>): void {
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

  onTimer(timer: TimerSpec, context: OnTimerContext<ComputedRow, EntityKey>): void {
    const cell = context.state(this.remembered);
    const remembered = cell.read();
    const nowMs = context.clock.now();
    const isQuiet = timer.id === this.quiet.id;
    // At the end of a bounded input all timers fire. What has not come about yet is not told: more events may come another time.
    if (remembered === undefined || (!isQuiet && context.firedAt > nowMs)) return;
    const state = remembered.entity;
    this.#decay(context.key, state, isQuiet ? nowMs + 1 - QUIET_MS : context.firedAt + 1, context);
    if (isQuiet || this.#computation.nextChange(state) !== undefined || this.#forgetAt(state) > context.firedAt) {
      cell.write(remembered);
      this.#setTimers(state, context);
      return;
    }
    cell.clear();
  }

  #refuseLate(value: UsableEvent, watermark: number, context: ProcessContext<ComputedRow>): void {
    this.#metrics.failed.inc({ reason: 'late' });
    const behindS = Math.round((watermark - value.eventTimeMs) / 1_000);
    this.#toDeadLetters(
      value,
      `late: its time ${new Date(value.eventTimeMs).toISOString()} is ${behindS} s behind the watermark, more than the allowed ${this.#allowedLatenessMs / 1_000} s`,
      'pipeline.compute_features',
      context,
    );
  }

  #toDeadLetters(
    { payload, attempt }: UsableEvent,
    reason: string,
    stage: string,
    context: ProcessContext<ComputedRow>,
  ): void {
    const timestamp = new Date(context.clock.now()).toISOString();
    context.outputTo(DEAD, { payload, reason, stage, attempt, timestamp });
  }
}
