import { keyIdOf } from '#kernel/keys/key_codec';
import type { EventTime } from '#kernel/time';
import { callsOf } from '#pipelines/engine/combine_calls';
import type { CombineFn, PaneInfo } from '#pipelines/engine/dofn';
import { type Edge, NO_FIRING, Operator } from '#pipelines/engine/operators/operator';
import type { Window } from '#pipelines/engine/windowing/window';

/** The parts into which runners take a combine apart, to combine before and after the shuffle. */
export type CombineStep = 'precombine' | 'merge' | 'extract' | 'convert' | 'grouped';

interface Keyed {
  readonly key: unknown;
  readonly value: unknown;
}

interface Held {
  readonly key: unknown;
  readonly window: Window;
  accumulator: unknown;
  timestamp: EventTime;
}

/** Accumulators held at once before some are sent: what a bundle of many keys may take of memory. */
const LARGEST_HELD = 20_000;

/** One step of a combine. */
export class CombineStage extends Operator {
  readonly #output: Edge;
  readonly #fn: CombineFn<unknown, unknown, unknown>;
  readonly #step: CombineStep;
  readonly #held = new Map<string, Held>();

  constructor(name: string, input: Edge, output: Edge, fn: CombineFn<unknown, unknown, unknown>, step: CombineStep) {
    super(name, input);
    this.#output = output;
    this.#fn = callsOf(fn, name);
    this.#step = step;
  }

  receive(element: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    const { key, value } = element as Keyed;
    const fn = this.#fn;
    const emit = (output: unknown): void => this.#output.receive({ key, value: output }, timestamp, window, pane);
    switch (this.#step) {
      case 'precombine':
        this.#accumulate(key, value, timestamp, window);
        return;
      case 'merge':
        emit(fn.mergeAccumulators(value as Iterable<unknown>));
        return;
      case 'extract':
        emit(fn.extractOutput(value));
        return;
      case 'convert':
        emit(fn.addInput(fn.createAccumulator(), value));
        return;
      case 'grouped': {
        let accumulator = fn.createAccumulator();
        for (const item of value as Iterable<unknown>) accumulator = fn.addInput(accumulator, item);
        emit(fn.extractOutput(accumulator));
      }
    }
  }

  #accumulate(key: unknown, value: unknown, timestamp: EventTime, window: Window): void {
    const keyId = keyIdOf(key);
    const id = `${typeof keyId}:${String(keyId)}\u0000${window.id}`;
    let held = this.#held.get(id);
    if (held === undefined) {
      if (this.#held.size >= LARGEST_HELD) this.#release();
      held = { key, window, accumulator: this.#fn.createAccumulator(), timestamp };
      this.#held.set(id, held);
    }
    held.accumulator = this.#fn.addInput(held.accumulator, value);
    // The combined value may not be older than what it replaces says; the earliest keeps it on time.
    if (timestamp < held.timestamp) held.timestamp = timestamp;
  }

  #release(): void {
    for (const { key, window, accumulator, timestamp } of this.#held.values()) {
      this.#output.receive({ key, value: accumulator }, timestamp, window, NO_FIRING);
    }
    this.#held.clear();
  }

  override finishBundle(): void {
    this.#release();
  }
}
