import { type EventTime, MAX_EVENT_TIME, MIN_EVENT_TIME } from '#kernel/time';
import type { PaneInfo } from '../dofn.ts';
import { TransformFailedError } from '../errors.ts';
import type { TestStreamEvent } from '../plan.ts';
import { type OperatorSnapshot, type SavedPart, smallSnapshot } from '../state/snapshot.ts';
import { checkOutput } from '../time/check_time.ts';
import { GLOBAL_WINDOW, type Window, type WindowFn } from '../windowing/window.ts';
import { type Edge, NO_FIRING, Operator } from './operator.ts';

/** Emits one empty byte string at the beginning of time, once in the life of a job. */
export class ImpulseOperator extends Operator {
  readonly #output: Edge;
  #fired = false;

  constructor(name: string, output: Edge) {
    super(name, undefined);
    this.#output = output;
    output.producers.push(this);
  }

  get fired(): boolean {
    return this.#fired;
  }

  fire(): void {
    if (this.#fired) return;
    this.#fired = true;
    this.#output.receive(new Uint8Array(0), MIN_EVENT_TIME, GLOBAL_WINDOW, NO_FIRING);
    this.inputWatermark = MAX_EVENT_TIME;
  }

  receive(): void {}

  override beginSnapshot(): OperatorSnapshot {
    return smallSnapshot({ fired: this.#fired });
  }

  override restore(parts: readonly SavedPart[]): void {
    this.#fired = parts.some(({ head }) => (head as { readonly fired: boolean }).fired);
    if (this.#fired) this.inputWatermark = MAX_EVENT_TIME;
  }
}

/** Passes elements of several inputs on as one. */
export class FlattenOperator extends Operator {
  readonly #inputs: readonly Edge[];
  readonly #output: Edge;

  constructor(name: string, inputs: readonly Edge[], output: Edge) {
    super(name, undefined);
    this.#inputs = inputs;
    this.#output = output;
    for (const input of inputs) input.connect(this);
    output.producers.push(this);
  }

  receive(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    this.#output.receive(value, timestamp, window, pane);
  }

  override advanceWatermark(): void {
    this.inputWatermark = Math.min(...this.#inputs.map((input) => input.watermark())) as EventTime;
  }
}

/** Assigns windows by timestamp; an element in several windows is passed on once for each. */
export class WindowIntoOperator extends Operator {
  readonly #windowFn: WindowFn;
  readonly #output: Edge;

  constructor(name: string, input: Edge, output: Edge, windowFn: WindowFn) {
    super(name, input);
    this.#windowFn = windowFn;
    this.#output = output;
    output.producers.push(this);
  }

  receive(value: unknown, timestamp: EventTime, _window: Window, pane: PaneInfo): void {
    let windows: readonly Window[];
    try {
      windows = this.#windowFn.assign(timestamp, value);
    } catch (error) {
      throw new TransformFailedError(this.name, 'the window function', value, error);
    }
    if (windows.length === 1) {
      this.#output.receive(value, timestamp, windows[0] as Window, pane);
      return;
    }
    for (const window of windows) this.#output.receive(value, timestamp, window, pane);
  }
}

/** Passes elements on: redistribution has no meaning on one thread. */
export class PassThroughOperator extends Operator {
  readonly #output: Edge;

  constructor(name: string, input: Edge, output: Edge) {
    super(name, input);
    this.#output = output;
    output.producers.push(this);
  }

  receive(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    this.#output.receive(value, timestamp, window, pane);
  }
}

export interface AssignTimestampsOptions {
  readonly timestampOf: (value: unknown) => number;
  readonly allowedSkewMs: number;
}

/** Gives each element the timestamp that `timestampOf` reads from it, ms since the epoch. */
export class AssignTimestampsOperator extends Operator {
  readonly #options: AssignTimestampsOptions;
  readonly #output: Edge;

  constructor(name: string, input: Edge, output: Edge, options: AssignTimestampsOptions) {
    super(name, input);
    this.#options = options;
    this.#output = output;
    output.producers.push(this);
  }

  receive(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    let assigned: number;
    try {
      assigned = this.#options.timestampOf(value);
      if (assigned !== timestamp) checkOutput(assigned, timestamp, this.#options.allowedSkewMs);
    } catch (error) {
      throw new TransformFailedError(this.name, 'timestampOf', value, error);
    }
    this.#output.receive(value, assigned as EventTime, window, pane);
  }
}

/** A scripted source for tests: what happens, in event time and in processing time, step by step. */
export class TestStreamOperator extends Operator {
  readonly #output: Edge;
  readonly #events: readonly TestStreamEvent[];
  #next = 0;

  constructor(name: string, output: Edge, events: readonly TestStreamEvent[]) {
    super(name, undefined);
    this.#output = output;
    this.#events = events;
    output.producers.push(this);
  }

  /** How far the next step moves processing time, ms; undefined when the script has ended. */
  get nextAdvanceMs(): number | undefined {
    const event = this.#events[this.#next];
    if (event === undefined) return undefined;
    return event.kind === 'processingTime' ? event.advanceMs : 0;
  }

  /** Does one step, within an open bundle. */
  step(): void {
    const event = this.#events[this.#next];
    this.#next += 1;
    if (event?.kind === 'watermark') this.inputWatermark = event.to as EventTime;
    if (event?.kind !== 'elements') return;
    for (const { value, timestamp } of event.elements) {
      this.#output.receive(value, timestamp as EventTime, GLOBAL_WINDOW, NO_FIRING);
    }
  }

  receive(): void {}

  override beginSnapshot(): OperatorSnapshot {
    return smallSnapshot({ next: this.#next });
  }

  override restore(parts: readonly SavedPart[]): void {
    for (const { head } of parts) this.#next = (head as { readonly next: number }).next;
  }
}
