import { type EventTime, MAX_EVENT_TIME, MIN_EVENT_TIME } from '#kernel/time';
import type { PaneInfo } from '../dofn.ts';
import type { Receiver } from '../receiver.ts';
import type { OperatorSnapshot, RestoreScope, SavedPart, TakeEntry } from '../state/snapshot.ts';
import type { Window } from '../windowing/window.ts';

export const NO_FIRING: PaneInfo = { timing: 'UNKNOWN', index: 0, onTimeIndex: 0, isFirst: true, isLast: true };

/** A PCollection at run time: passes each element to every consumer, in the same call. */
export class Edge implements Receiver {
  readonly name: string;
  readonly producers: Operator[] = [];
  readonly #consumers: Receiver[] = [];
  #only: Receiver | undefined;
  elements = 0;

  constructor(name: string) {
    this.name = name;
  }

  connect(consumer: Receiver): void {
    this.#consumers.push(consumer);
    this.#only = this.#consumers.length === 1 ? consumer : undefined;
  }

  receive(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    this.elements += 1;
    if (this.#only !== undefined) {
      this.#only.receive(value, timestamp, window, pane);
      return;
    }
    for (const consumer of this.#consumers) consumer.receive(value, timestamp, window, pane);
  }

  /** The slowest producer's output watermark. */
  watermark(): EventTime {
    let slowest: number = MAX_EVENT_TIME;
    for (const producer of this.producers) if (producer.outputWatermark < slowest) slowest = producer.outputWatermark;
    return slowest as EventTime;
  }
}

/** What the operators of one graph share. */
export interface EngineContext {
  /** Processing time, ms. */
  now(): number;
  /** Registers a callback for when the bundle's effects are durable. */
  afterBundleCommit(callback: () => void | Promise<void>): void;
  /** Elements dropped because their window had expired. */
  countDroppedLate(transform: string): void;
}

/**
 * A transform at run time. Within a bundle, elements arrive through `receive`; then `settle` waits for what is still
 * running, `advanceWatermark` fires event-time timers and panes in topological order, and `finishBundle` closes.
 */
export abstract class Operator implements Receiver {
  /** The transform's unique name. */
  readonly name: string;
  readonly input: Edge | undefined;
  inputWatermark: EventTime = MIN_EVENT_TIME;
  outputWatermark: EventTime = MIN_EVENT_TIME;

  constructor(name: string, input: Edge | undefined) {
    this.name = name;
    this.input = input;
    input?.connect(this);
  }

  abstract receive(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void;

  setup(): void | Promise<void> {}
  /** Resolves when nothing started in this bundle is running any more; undefined when nothing is. */
  settle(): Promise<void> | undefined {
    return undefined;
  }
  finishBundle(): void | Promise<void> {}
  /** Whether bundles have left something under way that {@link complete} ends. */
  get isIncomplete(): boolean {
    return false;
  }
  complete(): void | Promise<void> {}
  teardown(): void | Promise<void> {}

  /** Fires timers that the watermark has passed, in order of time; false when none was due. Called until then, each time when settled. */
  fireDue(): boolean {
    return false;
  }

  /** Takes the input's watermark and fires the panes that it makes due. */
  advanceWatermark(): void {
    const watermark = this.input?.watermark() ?? this.inputWatermark;
    if (watermark > this.inputWatermark) {
      this.inputWatermark = watermark;
      this.onInputWatermark(watermark);
    }
  }

  /**
   * Output watermark once nothing of the current step runs any more: the input's, held back by what is still to come
   * out, never moving backwards.
   */
  publishWatermark(): void {
    const held = Math.min(this.inputWatermark, this.watermarkHold());
    if (held > this.outputWatermark) this.outputWatermark = held as EventTime;
  }

  protected onInputWatermark(_watermark: EventTime): void {}

  /** Earliest event time this operator may still emit because of what it holds; Infinity when nothing. */
  protected watermarkHold(): number {
    return Number.POSITIVE_INFINITY;
  }

  /** Processing time of the next processing-time timer, if any. */
  nextProcessingTime(): number | undefined {
    return undefined;
  }
  /** Fires processing-time timers due at `now`; true when more of them are due, once the backend is relieved. */
  advanceProcessingTime(_now: number): boolean {
    return false;
  }

  /** Everything that must survive a restart, structured-cloneable; undefined when stateless. */
  beginSnapshot(_take: TakeEntry): OperatorSnapshot | undefined {
    return undefined;
  }
  /** The snapshot is complete, or given up: entries need not be handed over any more. */
  endSnapshot(): void {}
  /** Takes saved state over, of one thread or of several. */
  restore(_parts: readonly SavedPart[], _scope: RestoreScope): void | Promise<void> {}
}
