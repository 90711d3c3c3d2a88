import { type EventTime, MIN_EVENT_TIME } from '#kernel/time';
import type { PaneInfo } from '#pipelines/engine/dofn';
import { TransformFailedError } from '#pipelines/engine/errors';
import { type Edge, Operator } from '#pipelines/engine/operators/operator';
import type { SplittableContext, SplittableDoFn } from '#pipelines/engine/splitting/splittable';
import { checkedResume, checkedWatermark, checkTimestamp } from '#pipelines/engine/time/check_time';
import type { Window } from '#pipelines/engine/windowing/window';

type AnySplittable = SplittableDoFn<unknown, unknown, unknown, unknown>;

/** A restriction and how far its watermark has come: what travels between a source's stages. */
export interface RestrictionState {
  readonly restriction: unknown;
  readonly watermark: number;
}

interface Keyed<K, V> {
  readonly key: K;
  readonly value: V;
}
/** An element with its restriction and the restriction's size, as Beam's stages of a splittable DoFn pass it on. */
export type SizedElement = Keyed<Keyed<unknown, RestrictionState>, number>;

/** Work that is left of an element. */
export interface Residual {
  readonly element: SizedElement;
  readonly timestamp: EventTime;
  readonly window: Window;
  readonly pane: PaneInfo;
  readonly delayMs: number;
  readonly watermark: number;
}

/** Keeps promises of a bundle until they settle. */
abstract class AsyncOperator extends Operator {
  #last: Promise<void> | undefined;
  #failure: unknown;

  /** One after the other, in order. */
  protected enqueue(task: () => Promise<void>): void {
    const before = this.#last ?? Promise.resolve();
    const running = before.then(() => (this.#failure === undefined ? task() : undefined));
    this.#last = running.catch((error: unknown) => {
      this.#failure ??= error;
    });
  }

  override settle(): Promise<void> | undefined {
    if (this.#last === undefined) return undefined;
    return this.#settleAll();
  }

  async #settleAll(): Promise<void> {
    while (this.#last !== undefined) {
      const last = this.#last;
      await last;
      if (this.#last === last) this.#last = undefined;
    }
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
  }
}

/** Pairs each element with its first restrictions, one output each. */
export class PairWithRestriction extends AsyncOperator {
  readonly #doFn: AnySplittable;
  readonly #output: Edge;

  constructor(name: string, input: Edge, output: Edge, doFn: AnySplittable) {
    super(name, input);
    this.#doFn = doFn;
    this.#output = output;
  }

  receive(element: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    this.enqueue(async () => {
      try {
        for (const restriction of await this.#doFn.initialRestrictions(element)) {
          const state: RestrictionState = { restriction, watermark: timestamp };
          this.#output.receive({ key: element, value: state }, timestamp, window, pane);
        }
      } catch (error) {
        throw new TransformFailedError(this.name, 'initialRestrictions', element, error);
      }
    });
  }
}

/** Says how large each restriction is; they are split already where they are made. */
export class SplitAndSize extends Operator {
  readonly #doFn: AnySplittable;
  readonly #output: Edge;

  constructor(name: string, input: Edge, output: Edge, doFn: AnySplittable) {
    super(name, input);
    this.#doFn = doFn;
    this.#output = output;
  }

  receive(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    const { value: state } = value as Keyed<unknown, RestrictionState>;
    const size = this.#doFn.restrictionSize?.(state.restriction) ?? 1;
    this.#output.receive({ key: value, value: size }, timestamp, window, pane);
  }
}

/** On drain: bounded work is finished, unbounded work ends where it is. */
export class TruncateRestriction extends Operator {
  readonly #doFn: AnySplittable;
  readonly #output: Edge;

  constructor(name: string, input: Edge, output: Edge, doFn: AnySplittable) {
    super(name, input);
    this.#doFn = doFn;
    this.#output = output;
  }

  receive(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    const { key, value: size } = value as SizedElement;
    const { restriction, watermark } = key.value;
    const kept =
      this.#doFn.truncate === undefined
        ? this.#doFn.bounded
          ? restriction
          : undefined
        : this.#doFn.truncate(restriction);
    if (kept === undefined) return;
    const state: RestrictionState = { restriction: kept, watermark };
    this.#output.receive({ key: { key: key.key, value: state }, value: size }, timestamp, window, pane);
  }
}

/** How long a bundle continues with a restriction that always has more. */
const PROCESSING_BUDGET_MS = 500;

/** Does the work: piece after piece, until it is done, has to wait, or has had its time in this bundle. */
export class ProcessSizedElement extends AsyncOperator {
  readonly #doFn: AnySplittable;
  readonly #output: Edge;
  readonly #onResidual: (residual: Residual) => void;
  readonly #afterCommit: (callback: () => void | Promise<void>) => void;
  #stopped = new AbortController();
  #checkpointRequested = false;

  constructor(
    name: string,
    input: Edge,
    output: Edge,
    doFn: AnySplittable,
    hooks: {
      readonly onResidual: (residual: Residual) => void;
      readonly afterCommit: (callback: () => void | Promise<void>) => void;
    },
  ) {
    super(name, input);
    this.#doFn = doFn;
    this.#output = output;
    this.#onResidual = hooks.onResidual;
    this.#afterCommit = hooks.afterCommit;
  }

  override setup(): void | Promise<void> {
    return this.#doFn.setup?.();
  }

  override teardown(): void | Promise<void> {
    return this.#doFn.teardown?.();
  }

  begin(): void {
    this.#stopped = new AbortController();
    this.#checkpointRequested = false;
  }

  /** The rest of the work is to come back to the runner as soon as the piece at hand is done. */
  requestCheckpoint(): void {
    this.#checkpointRequested = true;
    this.#stopped.abort();
  }

  receive(value: unknown, timestamp: EventTime, window: Window, pane: PaneInfo): void {
    const sized = value as SizedElement;
    this.enqueue(() => this.#process(sized, timestamp, window, pane));
  }

  async #process(sized: SizedElement, timestamp: EventTime, window: Window, pane: PaneInfo): Promise<void> {
    const doFn = this.#doFn;
    const element = sized.key.key;
    let { restriction, watermark } = sized.key.value;
    let idleUntil: EventTime | undefined;
    const splits: RestrictionState[] = [];
    const leave = (state: RestrictionState, delayMs: number, hold: number): void => {
      const size = doFn.restrictionSize?.(state.restriction) ?? 1;
      this.#onResidual({
        element: { key: { key: element, value: state }, value: size },
        timestamp,
        window,
        pane,
        delayMs: Math.max(0, delayMs),
        watermark: Math.max(hold, MIN_EVENT_TIME),
      });
    };
    const startedMs = performance.now();
    const context: SplittableContext<unknown> = {
      output: (output, at) => {
        checkTimestamp(at);
        this.#output.receive(output, at, window, pane);
      },
      advanceWatermark(to) {
        const checked = checkedWatermark(to);
        if (checked > watermark) watermark = checked;
      },
      setIdle(idle, until) {
        idleUntil = idle ? until : undefined;
      },
      splitOff: (part, from) => splits.push({ restriction: part, watermark: checkedWatermark(from) }),
      reportBacklog() {},
      afterBundleCommit: this.#afterCommit,
      signal: this.#stopped.signal,
    };
    for (;;) {
      let delayMs: number;
      try {
        const tracker = doFn.createTracker(restriction);
        const answer = await doFn.process(element, restriction, tracker, context);
        for (const split of splits.splice(0)) leave(split, 0, split.watermark);
        if (!answer.resume) return;
        restriction = tracker.checkpoint();
        delayMs = checkedResume(answer.delayMs);
      } catch (error) {
        throw new TransformFailedError(this.name, 'process', element, error);
      }
      if (restriction === undefined) return;
      const isOver = this.#checkpointRequested || performance.now() - startedMs > PROCESSING_BUDGET_MS;
      if (delayMs <= 0 && !isOver) continue;
      leave({ restriction, watermark }, delayMs, Math.max(watermark, idleUntil ?? MIN_EVENT_TIME));
      return;
    }
  }
}
