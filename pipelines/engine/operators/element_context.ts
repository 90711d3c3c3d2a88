import type { EventTime, ProcessingTime } from '#kernel/time';
import type {
  BoundedWindow,
  FinishBundleContext,
  OnTimerContext,
  OutputTag,
  PaneInfo,
  SideInputView,
  StateSpec,
  Timer,
  TimerOptions,
  TimerSpec,
} from '../dofn.ts';
import { describeElement, InvalidPipelineError, InvalidTimeError } from '../errors.ts';
import { checkDelay, checkOutput, NO_OUTPUT_TIMESTAMP, shown } from '../time/check_time.ts';
import type { PendingTimer, TimerStore } from '../time/timer_queue.ts';
import { GLOBAL_WINDOW, type Window } from '../windowing/window.ts';
import { type Cells, createAccessor, type StateStore } from './keyed_state.ts';
import { type Edge, type EngineContext, NO_FIRING, type Operator } from './operator.ts';
import { type SideInputs, undeclaredSideInput } from './side_input.ts';

export interface ContextParts {
  readonly operator: Operator;
  readonly main: Edge;
  readonly tagged: ReadonlyMap<string, Edge>;
  readonly engine: EngineContext;
  readonly states: readonly StateSpec<unknown>[];
  readonly state: StateStore;
  readonly timers: ReadonlyMap<string, TimerSpec>;
  readonly eventTimers: TimerStore;
  readonly processingTimers: TimerStore;
  readonly sideInputs: SideInputs | undefined;
  /** How much earlier than the element an output may be. */
  readonly allowedSkewMs: number;
  readonly allowedLatenessMs: number;
}

const NO_CELLS: Cells = [];

/** What a hook of a DoFn sees: the element, its time and window, and the state and timers of its key. */
export class ElementContext implements OnTimerContext<unknown>, FinishBundleContext<unknown> {
  timestamp: EventTime = 0 as EventTime;
  window: Window = GLOBAL_WINDOW;
  pane: PaneInfo = NO_FIRING;
  key: unknown = undefined;
  firedAt = 0;
  timerTag = '';
  cells: Cells = NO_CELLS;
  readonly clock: { now(): ProcessingTime };
  #keyId: unknown;
  readonly #parts: ContextParts;
  readonly #accessors = new Map<StateSpec<unknown>, object>();
  readonly #timers = new Map<string, Timer>();

  constructor(parts: ContextParts) {
    this.#parts = parts;
    this.clock = { now: () => parts.engine.now() as ProcessingTime };
    for (const [slot, spec] of parts.states.entries()) this.#accessors.set(spec, createAccessor(spec, slot, this));
  }

  at(timestamp: EventTime, window: Window, pane: PaneInfo): void {
    this.timestamp = timestamp;
    this.window = window;
    this.pane = pane;
  }

  enter(key: unknown, keyId: unknown): void {
    this.key = key;
    this.#keyId = keyId;
    this.cells = this.#parts.state.cells(key, keyId, this.window);
  }

  changed(slot: number): void {
    this.#parts.state.changed?.(this.#keyId, this.window, slot);
  }

  firing(timer: PendingTimer): void {
    this.firedAt = timer.at;
    this.timerTag = timer.tag;
  }

  leave(): void {
    if (this.cells === NO_CELLS) return;
    this.#parts.state.dropIfEmpty(this.#keyId, this.window, this.cells);
    this.cells = NO_CELLS;
  }

  get inputWatermark(): EventTime {
    return this.#parts.operator.inputWatermark;
  }

  output(value: unknown, timestamp: EventTime = this.timestamp): void {
    if (timestamp !== this.timestamp || timestamp === NO_OUTPUT_TIMESTAMP) this.#check(timestamp);
    this.#parts.main.receive(value, timestamp, this.window, this.pane);
  }

  outputTo<T>(tag: OutputTag<T>, value: T, timestamp: EventTime = this.timestamp): void {
    const edge = this.#parts.tagged.get(tag.id);
    if (edge === undefined) {
      throw new InvalidPipelineError(
        `output "${tag.id}" of transform "${this.#parts.operator.name}" is not declared: pass it in parDo's outputs`,
      );
    }
    if (timestamp !== this.timestamp || timestamp === NO_OUTPUT_TIMESTAMP) this.#check(timestamp);
    edge.receive(value, timestamp, this.window, this.pane);
  }

  #check(timestamp: EventTime): void {
    checkOutput(timestamp, this.timestamp, this.#parts.allowedSkewMs);
  }

  outputInWindow(value: unknown, timestamp: EventTime, window: BoundedWindow): void {
    this.#check(timestamp);
    this.#parts.main.receive(value, timestamp, window as Window, NO_FIRING);
  }

  afterBundleCommit(callback: () => void | Promise<void>): void {
    this.#parts.engine.afterBundleCommit(callback);
  }

  state<S>(spec: StateSpec<S>): S {
    const accessor = this.#accessors.get(spec as StateSpec<unknown>);
    if (accessor === undefined || this.cells === NO_CELLS) {
      throw new InvalidPipelineError(
        `state "${spec.id}" of transform "${this.#parts.operator.name}" is not available here: declare it as a field of the DoFn, and use it in process or onTimer`,
      );
    }
    return accessor as S;
  }

  timer(spec: TimerSpec): Timer {
    let timer = this.#timers.get(spec.id);
    if (timer === undefined) {
      if (!this.#parts.timers.has(spec.id)) {
        throw new InvalidPipelineError(
          `timer "${spec.id}" of transform "${this.#parts.operator.name}" is not declared: make it a field of the DoFn`,
        );
      }
      timer = this.#createTimer(spec);
      this.#timers.set(spec.id, timer);
    }
    return timer;
  }

  /** Sets and clears for whatever key and window is current at the call. */
  #createTimer(spec: TimerSpec): Timer {
    const { engine, eventTimers, processingTimers } = this.#parts;
    const isEventTime = spec.domain === 'event';
    const store = isEventTime ? eventTimers : processingTimers;
    const specId = spec.id;
    const set: Timer['set'] = (at, options) => {
      const { key, window } = this;
      const outputTimestamp = this.#outputTimestampOf(spec, at, options);
      store.set(this.#keyId, { key, window, specId, tag: options?.tag ?? '', at, outputTimestamp });
    };
    return {
      set,
      setAfter(delayMs, options) {
        if (isEventTime) {
          throw new InvalidPipelineError(`timer "${specId}" is an event-time timer: setAfter is for processing time`);
        }
        checkDelay(`the delay of timer "${specId}"`, delayMs);
        set(engine.now() + delayMs, options);
      },
      clear: (tag = '') => store.clear(this.#keyId, { window: this.window, specId, tag }, this.key),
    };
  }

  /** @throws {@link InvalidTimeError} as Beam does, where the timer could not fire or its output would be late */
  #outputTimestampOf(spec: TimerSpec, at: number, options: TimerOptions | undefined): number {
    const isEventTime = spec.domain === 'event';
    const isTime = isEventTime ? Number.isSafeInteger(at) : Number.isFinite(at);
    if (!isTime) {
      throw this.#refusal(spec, `is set to ${shown(at)}: give ${isEventTime ? 'whole ' : ''}milliseconds since 1970`);
    }
    const expiry = this.window.maxTimestamp() + this.#parts.allowedLatenessMs;
    if (isEventTime && at > expiry) {
      throw this.#refusal(
        spec,
        `is set to ${at}, behind the expiry of its window at ${expiry}, when its state is dropped: set it at most there (context.window.maxTimestamp() plus the allowed lateness), or use wider windows`,
      );
    }
    if (options?.noOutputTimestamp === true) return NO_OUTPUT_TIMESTAMP;
    const given = options?.outputTimestamp;
    if (given !== undefined) {
      if (!Number.isSafeInteger(given))
        throw this.#refusal(spec, `has the output timestamp ${shown(given)}, which is no time`);
      const earliest = this.timestamp - this.#parts.allowedSkewMs;
      if (this.timestamp !== NO_OUTPUT_TIMESTAMP && given < earliest) {
        throw this.#refusal(
          spec,
          `has the output timestamp ${given}, earlier than the element's or timer's own by more than is allowed: give ${earliest} or later, or set allowedTimestampSkewMs of the DoFn`,
        );
      }
      if (given > expiry) {
        throw this.#refusal(spec, `has the output timestamp ${given}, behind the expiry of its window at ${expiry}`);
      }
      return given;
    }
    if (isEventTime) return at;
    // Set by a timer that holds nothing: neither does this one.
    return this.timestamp;
  }

  #refusal({ id }: TimerSpec, problem: string): InvalidTimeError {
    return new InvalidTimeError(`timer "${id}" of key ${describeElement(this.key)} ${problem}`);
  }

  sideInput<T>(view: SideInputView<T>): T {
    if (this.#parts.sideInputs === undefined) throw undeclaredSideInput(this.#parts.operator.name);
    return this.#parts.sideInputs.read(view as SideInputView<unknown>, this.window) as T;
  }
}
