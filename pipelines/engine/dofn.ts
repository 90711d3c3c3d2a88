import type { EventTime, ProcessingTime } from '#kernel/time';

/** Why a pane was emitted, in Beam's words. */
export interface PaneInfo {
  readonly timing: 'EARLY' | 'ON_TIME' | 'LATE' | 'UNKNOWN';
  readonly index: number;
  readonly onTimeIndex: number;
  readonly isFirst: boolean;
  readonly isLast: boolean;
}

/** A window of event time; the end is exclusive. The global window ends at the end of time. */
export interface BoundedWindow {
  readonly start: EventTime;
  readonly end: EventTime;
  /** Last timestamp inside the window: `end - 1`. */
  maxTimestamp(): EventTime;
}

/** Names one of a DoFn's additional outputs and carries its element type. */
export interface OutputTag<T> {
  readonly id: string;
  /** Phantom: only for inference. */
  readonly elementType?: T;
}

/** Names an output of a DoFn beside its main one. */
export const outputTag = <T>(id: string): OutputTag<T> => ({ id });

// --- state ---------------------------------------------------------------------------------------------------------

export interface ValueState<T> {
  read(): T | undefined;
  /** Keeps `value` itself: after writing, change it only through another `write`. */
  write(value: T): void;
  clear(): void;
}

export interface BagState<T> {
  read(): Iterable<T>;
  add(value: T): void;
  clear(): void;
}

export interface SetState<T> {
  read(): Iterable<T>;
  has(value: T): boolean;
  add(value: T): void;
  remove(value: T): void;
  clear(): void;
}

export interface MapState<K, V> {
  get(key: K): V | undefined;
  put(key: K, value: V): void;
  remove(key: K): void;
  entries(): Iterable<readonly [K, V]>;
  clear(): void;
}

/** Several values of each key, in the order in which they came. */
export interface MultimapState<K, V> {
  /** Values of a key, none when it is absent. */
  get(key: K): Iterable<V>;
  has(key: K): boolean;
  put(key: K, value: V): void;
  /** Removes a key with all its values. */
  remove(key: K): void;
  keys(): Iterable<K>;
  /** A pair for each value. */
  entries(): Iterable<readonly [K, V]>;
  clear(): void;
}

export interface CombiningState<In, Out> {
  read(): Out;
  add(value: In): void;
  clear(): void;
}

/** Values ordered by event time. */
export interface OrderedListState<T> {
  add(timestamp: EventTime, value: T): void;
  /** Entries with `from <= timestamp < to`, oldest first. */
  readRange(from: EventTime, to: EventTime): Iterable<readonly [EventTime, T]>;
  clearRange(from: EventTime, to: EventTime): void;
  clear(): void;
}

export interface TimerOptions {
  /**
   * Event time of what the timer puts out; until it fires, it holds the output watermark. Default: the time the timer fires at, for processing timers the element's.
   */
  readonly outputTimestamp?: EventTime;
  /** The timer puts nothing out, and holds no watermark. */
  readonly noOutputTimestamp?: boolean;
  readonly tag?: string;
}

export interface Timer {
  /**
   * Sets or moves the timer: event-time ms for event timers, processing-time ms otherwise. An event timer fires once the watermark has passed it; one that is set
   * in the past fires in the same bundle.
   *
   * @throws InvalidTimeError for what is no time, an event timer behind the expiry of its window, and an output timestamp earlier than the element's
   */
  set(at: number, options?: TimerOptions): void;
  /** Processing-time timers only: `delayMs` from now. */
  setAfter(delayMs: number, options?: TimerOptions): void;
  clear(tag?: string): void;
}

// --- what a DoFn sees ----------------------------------------------------------------------------------------------

/** Fields every hook of a DoFn sees; valid only during the call (for async hooks: until the promise settles). */
export interface OutputContext<Out> {
  /** Emits into the main output; `timestamp` defaults to the element's (timers: the output timestamp). */
  output(value: Out, timestamp?: EventTime): void;
  outputTo<T>(tag: OutputTag<T>, value: T, timestamp?: EventTime): void;
  /** Runs `callback` once the bundle's effects are durable (offset commits, acks). At most once; best effort. */
  afterBundleCommit(callback: () => void | Promise<void>): void;
  readonly clock: { now(): ProcessingTime };
}

/** What `process` of a DoFn is given beside the element. */
export interface ProcessContext<Out> extends OutputContext<Out> {
  readonly timestamp: EventTime;
  readonly window: BoundedWindow;
  readonly pane: PaneInfo;
  /** Keyed state of the current key and window. Only in a DoFn over KVs. */
  state<S>(spec: StateSpec<S>): S;
  timer(spec: TimerSpec): Timer;
  /** What a side input holds in the window that goes with this one. @throws InvalidPipelineError when it is not declared */
  sideInput<T>(view: SideInputView<T>): T;
  /**
   * The element's stage input watermark, as the runner knows it: elements older than it are late. Portable runners keep it to
   * themselves: there it stays at the beginning of time.
   */
  readonly inputWatermark: EventTime;
}

/** What `onTimer` of a DoFn is given: the key and time of the timer that has fired. */
export interface OnTimerContext<Out, K = unknown> extends ProcessContext<Out> {
  readonly key: K;
  /** The time the timer was set for. */
  readonly firedAt: number;
  readonly timerTag: string;
}

/** What `finishBundle` of a DoFn is given. */
export interface FinishBundleContext<Out> extends OutputContext<Out> {
  /** finishBundle has no current element: timestamp and window are given. */
  outputInWindow(value: Out, timestamp: EventTime, window: BoundedWindow): void;
}

/**
 * A user's element-wise function. Hooks may be sync or async; the runner never awaits what is not a promise, and a
 * bundle ends only when every promise has settled. State and timers are declared as fields:
 *
 * ```ts
 * class CountPerKey implements DoFn<KV<string, Txn>, Row> {
 *   readonly count = valueState<number>('count');
 *   readonly flush = eventTimer('flush');
 *   process(element: KV<string, Txn>, context: ProcessContext<Row>): void {
 *     const count = context.state(this.count);
 *     count.write((count.read() ?? 0) + 1);
 *     context.timer(this.flush).set(context.window.maxTimestamp());
 *   }
 *   onTimer(timer: TimerSpec, context: OnTimerContext<Row, string>): void { … }
 * }
 * ```
 */
export interface DoFn<In, Out> {
  /** Of keys whose form differs between releases: how those of a snapshot become those of now. */
  readonly keyLayout?: KeyLayout;
  /** How much earlier than its input an output may be, ms. Default 0: an earlier output could be late and be dropped. */
  readonly allowedTimestampSkewMs?: number;
  /**
   * Elements of a key and window come in order of event time, each once the watermark has passed its time and the allowed lateness. An element that comes after a newer one was
   * processed is dropped and counted (`dropped_out_of_order`). Only in a DoFn over KVs. Beam's `@RequiresTimeSortedInput`.
   */
  readonly requiresTimeSortedInput?: boolean;
  setup?(): void | Promise<void>;
  startBundle?(context: OutputContext<Out>): void | Promise<void>;
  process(element: In, context: ProcessContext<Out>): void | Promise<void>;
  onTimer?(timer: TimerSpec, context: OnTimerContext<Out>): void | Promise<void>;
  onWindowExpiration?(context: OnTimerContext<Out>): void | Promise<void>;
  finishBundle?(context: FinishBundleContext<Out>): void | Promise<void>;
  /**
   * Ends what finishBundle has left under way, such as writing, so that it continues while the next bundle is computed. Called before anything
   * counts as done: before a snapshot, before offsets are committed, at the end. What is left under way must be safe to repeat; `teardown`
   * has to wait for it.
   */
  complete?(context: FinishBundleContext<Out>): void | Promise<void>;
  teardown?(): void | Promise<void>;
}

// --- declarations --------------------------------------------------------------------------------------------------

export type StateKind = 'value' | 'bag' | 'set' | 'map' | 'multimap' | 'combining' | 'orderedList';

/** How values saved under another layout are read, or why they cannot be. */
export type Adaptation<T> =
  | { readonly convert: (saved: unknown) => T; readonly changes: readonly string[] }
  | { readonly refused: string };

/** What the parts of a value mean, for values whose parts follow from definitions that change. */
export interface ValueSchema<T> {
  /** Plain data; saved with the values. Equal layouts need no adapting. */
  readonly layout: unknown;
  /** Returns how values of `savedLayout` become values of {@link layout}, and what was added or dropped, for the log. */
  adapt(savedLayout: unknown): Adaptation<T>;
  /** Called before a value goes into a snapshot: takes out of it, in place, what must not be kept. */
  beforeSave?(value: T): void;
}

/** What the keys of a stateful DoFn look like, where releases differ in it. */
export interface KeyLayout {
  /** Saved with the state. Equal layouts need no adapting. */
  readonly layout: string;
  /**
   * Returns a key of another layout as it is now, or undefined to drop its state.
   *
   * @param savedLayout - undefined in snapshots of before there were layouts of keys
   */
  adapt(key: unknown, savedLayout: string | undefined): unknown;
}

/** Declares one cell of keyed state; make it with {@link valueState} and its kin. */
export class StateSpec<S> {
  /** Phantom: only for inference. */
  declare readonly stateType: S;
  readonly kind: StateKind;
  readonly id: string;
  readonly combineFn: CombineFn<never, unknown, unknown> | undefined;
  readonly schema: ValueSchema<unknown> | undefined;

  constructor(
    kind: StateKind,
    id: string,
    { combineFn, schema }: { combineFn?: CombineFn<never, unknown, unknown>; schema?: ValueSchema<unknown> } = {},
  ) {
    this.kind = kind;
    this.id = id;
    this.combineFn = combineFn;
    this.schema = schema;
  }
}

/** Declares a timer; one declaration is a family: `set(at, { tag })` keeps several apart. */
export class TimerSpec {
  readonly domain: 'event' | 'processing';
  readonly id: string;

  constructor(domain: 'event' | 'processing', id: string) {
    this.domain = domain;
    this.id = id;
  }
}

/** Accumulates many inputs into one output; merging must be associative and commutative. */
export interface CombineFn<In, Acc, Out> {
  /**
   * What its accumulators mean, such as `top(3)`: saved accumulators of another identity are refused. Absent: the source of its functions and its empty accumulator, which
   * shows no change of captured variables or imported helpers.
   */
  readonly identity?: string;
  /** What becomes of saved accumulators of another identity: the restore is refused (default), or windows under way start empty, with a warning. */
  readonly whenChanged?: 'refuse' | 'restart';
  createAccumulator(): Acc;
  addInput(accumulator: Acc, input: In): Acc;
  mergeAccumulators(accumulators: Iterable<Acc>): Acc;
  extractOutput(accumulator: Acc): Out;
}

/** Declares state that holds one value. */
export const valueState = <T>(id: string, schema?: ValueSchema<T>): StateSpec<ValueState<T>> =>
  new StateSpec('value', id, schema === undefined ? {} : { schema });
/** Declares state that holds values in no order. */
export const bagState = <T>(id: string): StateSpec<BagState<T>> => new StateSpec('bag', id);
/** Declares state that holds each value once. */
export const setState = <T>(id: string): StateSpec<SetState<T>> => new StateSpec('set', id);
/** Declares state that holds a value for each of its keys. */
export const mapState = <K, V>(id: string): StateSpec<MapState<K, V>> => new StateSpec('map', id);
/** Declares state that holds values for each of its keys. */
export const multimapState = <K, V>(id: string): StateSpec<MultimapState<K, V>> => new StateSpec('multimap', id);
/** Declares state that holds values in the order of their timestamps. */
export const orderedListState = <T>(id: string): StateSpec<OrderedListState<T>> => new StateSpec('orderedList', id);
/** Declares state that combines what is added to it. */
export const combiningState = <In, Acc, Out>(
  id: string,
  combineFn: CombineFn<In, Acc, Out>,
): StateSpec<CombiningState<In, Out>> =>
  new StateSpec('combining', id, { combineFn: combineFn as unknown as CombineFn<never, unknown, unknown> });

/** Declares a timer of event time: it fires when the watermark has passed it. */
export const eventTimer = (id: string): TimerSpec => new TimerSpec('event', id);
/** Declares a timer of processing time. */
export const processingTimer = (id: string): TimerSpec => new TimerSpec('processing', id);

/** A side input by key. Keys are compared by value, also objects. */
export interface SideInputMap<K, V> {
  readonly size: number;
  get(key: K): V | undefined;
  has(key: K): boolean;
  entries(): Iterable<readonly [K, V]>;
}

export type SideInputKind = 'singleton' | 'iterable' | 'list' | 'map' | 'multimap';

/** A PCollection seen from the side: made by the `as…` functions, declared in parDo, read through the context. */
export class SideInputView<T> {
  /** Phantom: only for inference. */
  declare readonly viewType: T;
  readonly kind: SideInputKind;
  /** The collection it is made of; the engine does not look inside. */
  readonly source: unknown;
  /** Singletons only: what an empty window reads as. */
  readonly hasDefault: boolean;
  readonly defaultValue: T | undefined;

  constructor(kind: SideInputKind, source: unknown, ...defaultValue: [] | [T]) {
    this.kind = kind;
    this.source = source;
    this.hasDefault = defaultValue.length === 1;
    this.defaultValue = defaultValue[0];
  }
}

/** Marks a DoFn that sees nothing of its element's window, nor of its pane: one call stands for all windows of an element. */
export const IGNORES_WINDOW = Symbol('ignores window');
