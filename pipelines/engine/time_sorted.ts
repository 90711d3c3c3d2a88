import { type EventTime, eventTime, MAX_EVENT_TIME, type ProcessingTime } from '#kernel/time';
import { declarationsOf } from './declarations.ts';
import {
  type BoundedWindow,
  type DoFn,
  eventTimer,
  type FinishBundleContext,
  type KeyLayout,
  type OnTimerContext,
  type OutputContext,
  type OutputTag,
  orderedListState,
  type PaneInfo,
  type ProcessContext,
  type SideInputView,
  type StateSpec,
  type Timer,
  type TimerSpec,
  valueState,
} from './dofn.ts';
import { InvalidPipelineError } from './errors.ts';
import { Counter, metricsOf } from './metrics.ts';

export interface Keyed {
  readonly key: unknown;
}

interface Buffered {
  readonly element: Keyed;
  readonly pane: PaneInfo;
}

/**
 * Calls another DoFn with the elements of each key and window in order of event time (Beam's requiresTimeSortedInput): they wait in state until the watermark has passed their time and
 * the allowed lateness, and hold the watermark meanwhile. Built from state and timers alone, so that it works on every runner.
 */
export class TimeSortedDoFn<Out> implements DoFn<Keyed, Out> {
  readonly buffer = orderedListState<Buffered>('\u0000sorted buffer');
  /** Earliest time in the buffer, and the time up to which elements have been processed. */
  readonly progress = valueState<{ readonly earliest: number | undefined; readonly processed: number }>(
    '\u0000sorted progress',
  );
  readonly due = eventTimer('\u0000sorted due');
  readonly outOfOrder = new Counter('dropped_out_of_order');
  readonly keyLayout?: KeyLayout;
  readonly allowedTimestampSkewMs: number;
  readonly onWindowExpiration?: NonNullable<DoFn<Keyed, Out>['onWindowExpiration']>;
  readonly complete?: NonNullable<DoFn<Keyed, Out>['complete']>;
  readonly #inner: DoFn<Keyed, Out>;
  readonly #allowedLatenessMs: number;
  readonly #hasTimers: boolean;

  constructor(inner: DoFn<Keyed, Out>, allowedLatenessMs: number) {
    const { states, timers } = declarationsOf(inner);
    if (timers.length > 0 && inner.onTimer === undefined) {
      throw new InvalidPipelineError(`a DoFn declares timer "${timers[0]?.id}" but has no onTimer`);
    }
    for (const [place, field] of [...states, ...timers, ...metricsOf(inner)].entries()) {
      Object.assign(this, { [`declared ${place}`]: field });
    }
    this.#inner = inner;
    this.#allowedLatenessMs = allowedLatenessMs;
    this.#hasTimers = timers.length > 0;
    this.allowedTimestampSkewMs = inner.allowedTimestampSkewMs ?? 0;
    if (inner.keyLayout !== undefined) this.keyLayout = inner.keyLayout;
    if (inner.onWindowExpiration !== undefined) this.onWindowExpiration = inner.onWindowExpiration.bind(inner);
    if (inner.complete !== undefined) this.complete = inner.complete.bind(inner);
  }

  setup(): void | Promise<void> {
    return this.#inner.setup?.();
  }

  startBundle(context: OutputContext<Out>): void | Promise<void> {
    return this.#inner.startBundle?.(context);
  }

  process(element: Keyed, context: ProcessContext<Out>): void {
    const { timestamp, pane } = context;
    const progress = context.state(this.progress);
    const { earliest, processed } = progress.read() ?? { earliest: undefined, processed: Number.NEGATIVE_INFINITY };
    if (timestamp < processed) {
      this.outOfOrder.inc();
      return;
    }
    context.state(this.buffer).add(timestamp, { element, pane });
    if (earliest !== undefined && earliest <= timestamp) return;
    progress.write({ earliest: timestamp, processed });
    this.#setDue(context, timestamp);
  }

  onTimer(timer: TimerSpec, context: OnTimerContext<Out>): void | Promise<void> {
    return timer === this.due ? this.#release(context) : this.#inner.onTimer?.(timer, context);
  }

  /** Processes the elements that are due. With timers of the DoFn, those of the earliest time alone: it may set one before the next. */
  #release(context: OnTimerContext<Out>): void | Promise<void> {
    const progress = context.state(this.progress);
    const buffer = context.state(this.buffer);
    const at = progress.read()?.earliest;
    if (at === undefined) return undefined;
    const until = this.#hasTimers ? at + 1 : Math.max(at + 1, context.inputWatermark - this.#allowedLatenessMs);
    const due = [...buffer.readRange(eventTime(at), eventTime(until))];
    buffer.clearRange(eventTime(at), eventTime(until));
    const [next] = buffer.readRange(eventTime(until), eventTime(Number.POSITIVE_INFINITY));
    progress.write({ earliest: next?.[0], processed: due.at(-1)?.[0] ?? at });
    if (next !== undefined) this.#setDue(context, next[0]);
    let running: Promise<void> | undefined;
    for (const [timestamp, { element, pane }] of due) {
      const call = (): void | Promise<void> =>
        this.#inner.process(element, new BufferedContext(context, timestamp, pane));
      // One after the other, also when they are asynchronous.
      if (running !== undefined) running = running.then(call);
      else running = call() ?? undefined;
    }
    return running;
  }

  #setDue(context: ProcessContext<Out>, timestamp: number): void {
    context
      .timer(this.due)
      .set(Math.min(timestamp + this.#allowedLatenessMs, MAX_EVENT_TIME), { outputTimestamp: eventTime(timestamp) });
  }

  finishBundle(context: FinishBundleContext<Out>): void | Promise<void> {
    return this.#inner.finishBundle?.(context);
  }

  teardown(): void | Promise<void> {
    return this.#inner.teardown?.();
  }
}

/** The context of a timer, as that of the element that it releases. */
class BufferedContext<Out> implements ProcessContext<Out> {
  readonly timestamp: EventTime;
  readonly pane: PaneInfo;
  readonly #timer: OnTimerContext<Out>;

  constructor(timer: OnTimerContext<Out>, timestamp: EventTime, pane: PaneInfo) {
    this.#timer = timer;
    this.timestamp = timestamp;
    this.pane = pane;
  }

  get window(): BoundedWindow {
    return this.#timer.window;
  }

  get clock(): { now(): ProcessingTime } {
    return this.#timer.clock;
  }

  get inputWatermark(): EventTime {
    return this.#timer.inputWatermark;
  }

  output(value: Out, timestamp: EventTime = this.timestamp): void {
    this.#timer.output(value, timestamp);
  }

  outputTo<T>(tag: OutputTag<T>, value: T, timestamp: EventTime = this.timestamp): void {
    this.#timer.outputTo(tag, value, timestamp);
  }

  afterBundleCommit(callback: () => void | Promise<void>): void {
    this.#timer.afterBundleCommit(callback);
  }

  state<S>(spec: StateSpec<S>): S {
    return this.#timer.state(spec);
  }

  timer(spec: TimerSpec): Timer {
    return this.#timer.timer(spec);
  }

  sideInput<T>(view: SideInputView<T>): T {
    return this.#timer.sideInput(view);
  }
}
