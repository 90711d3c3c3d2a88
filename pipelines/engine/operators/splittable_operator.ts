import { PlatformError } from '#kernel/errors';
import { type EventTime, MAX_EVENT_TIME, MIN_EVENT_TIME } from '#kernel/time';
import { TransformFailedError } from '../errors.ts';
import type { SavedTask, SplittableContext, SplittableDoFn } from '../splitting/splittable.ts';
import { type OperatorSnapshot, type SavedPart, smallSnapshot } from '../state/snapshot.ts';
import { checkedResume, checkedWatermark, checkTimestamp } from '../time/check_time.ts';
import { GLOBAL_WINDOW } from '../windowing/window.ts';
import { type Edge, type EngineContext, NO_FIRING, Operator } from './operator.ts';

type AnySplittable = SplittableDoFn<unknown, unknown, unknown, unknown>;

/** One element and what is left to do of it. */
interface RestrictionTask {
  readonly element: unknown;
  restriction: unknown;
  watermark: number;
  idle: boolean;
  resumeAt: number;
  failures: number;
  backlog: number;
}

const newTask = (element: unknown, restriction: unknown, watermark: number): RestrictionTask => ({
  element,
  restriction,
  watermark,
  idle: false,
  resumeAt: 0,
  failures: 0,
  backlog: 0,
});

/** What one call of `process` produced, kept until a bundle takes it. */
interface Piece {
  readonly task: RestrictionTask;
  readonly values: readonly unknown[];
  readonly timestamps: readonly number[];
  readonly watermark: number;
  readonly idle: boolean;
  readonly residual: unknown;
  readonly delayMs: number;
  readonly splits: readonly { readonly restriction: unknown; readonly watermark: number }[];
  readonly callbacks: readonly (() => void | Promise<void>)[];
}

export interface SplittableOptions {
  readonly name: string;
  readonly doFn: AnySplittable;
  readonly input: Edge;
  readonly output: Edge;
  readonly context: EngineContext;
  /** Told about a retryable failure before the retry. */
  readonly onRetry: (transform: string, error: unknown, delayMs: number) => void;
}

const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 10_000;

/**
 * Runs a {@link SplittableDoFn}. Calls of `process` run beside bundles, one at a time a restriction; what they output waits
 * until a bundle takes it, together with the restriction that is left. So a snapshot between bundles always holds
 * restrictions that match the state, and a call in flight at a crash is as if it never ran.
 */
export class SplittableOperator extends Operator {
  readonly #options: SplittableOptions;
  #tasks: RestrictionTask[] = [];
  readonly #running = new Set<RestrictionTask>();
  #pieces: Piece[] = [];
  #splitting = new Set<Promise<void>>();
  #failure: unknown;
  #stopped = new AbortController();
  #isDraining = false;
  /** Work that the drained job leaves, for one that begins with its snapshot. */
  #left: RestrictionTask[] = [];

  constructor(options: SplittableOptions) {
    super(options.name, options.input);
    this.#options = options;
    options.output.producers.push(this);
  }

  override setup(): void | Promise<void> {
    return this.#options.doFn.setup?.();
  }

  override async teardown(): Promise<void> {
    this.#stopped.abort();
    await this.#options.doFn.teardown?.();
  }

  override receive(element: unknown, timestamp: EventTime): void {
    const splitting = this.#split(element, timestamp).finally(() => this.#splitting.delete(splitting));
    this.#splitting.add(splitting);
  }

  async #split(element: unknown, timestamp: number): Promise<void> {
    try {
      for (const restriction of await this.#options.doFn.initialRestrictions(element)) {
        this.#place(newTask(element, restriction, timestamp));
      }
    } catch (error) {
      this.#failure ??= new TransformFailedError(this.name, 'initialRestrictions', element, error);
    }
  }

  override settle(): Promise<void> | undefined {
    return this.#splitting.size === 0 ? undefined : Promise.all(this.#splitting).then(() => {});
  }

  get hasWork(): boolean {
    return this.#tasks.length > 0;
  }

  get hasPieces(): boolean {
    return this.#pieces.length > 0 || this.#failure !== undefined;
  }

  get isRunning(): boolean {
    return this.#running.size > 0;
  }

  get backlogRecords(): number {
    return this.#tasks.reduce((sum, task) => sum + task.backlog, 0);
  }

  /** Starts `process` for every restriction that is due and whose last piece has been taken. */
  startDue(now: number, wake: () => void): void {
    for (const task of this.#tasks) {
      if (task.resumeAt <= now && !this.#running.has(task)) {
        this.#running.add(task);
        void this.#run(task, wake);
      }
    }
  }

  /** When the next restriction is to be resumed; undefined when none waits. */
  nextResumeAt(): number | undefined {
    let next: number | undefined;
    for (const task of this.#tasks) {
      if (!this.#running.has(task) && (next === undefined || task.resumeAt < next)) next = task.resumeAt;
    }
    return next;
  }

  /**
   * Ends reading: bounded work is done to its end, unbounded work is left where it is, unless the DoFn's `truncate` says otherwise. Resolves when the calls that run have
   * returned; their pieces can still be taken.
   */
  async truncate(): Promise<void> {
    this.#isDraining = true;
    const { doFn } = this.#options;
    if (doFn.truncate === undefined && doFn.bounded) return;
    await this.interrupt();
    this.#stopped = new AbortController();
    const tasks = this.#tasks;
    this.#tasks = tasks.filter((task) => this.#running.has(task));
    for (const task of tasks) if (!this.#running.has(task)) this.#place(task);
  }

  /** Whether a drain has left work for a job that begins with its snapshot. */
  get hasLeftWork(): boolean {
    return this.#left.length > 0;
  }

  #place(task: RestrictionTask): void {
    if (!this.#isDraining) {
      this.#tasks.push(task);
      return;
    }
    const { doFn } = this.#options;
    const kept =
      doFn.truncate === undefined ? (doFn.bounded ? task.restriction : undefined) : doFn.truncate(task.restriction);
    if (kept === undefined) this.#left.push(task);
    else this.#tasks.push({ ...task, restriction: kept });
  }

  /** Asks running calls to return; resolves when they have. Their pieces can still be taken. */
  async interrupt(): Promise<void> {
    this.#stopped.abort();
    while (this.#running.size > this.#pieces.length && this.#failure === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async #run(task: RestrictionTask, wake: () => void): Promise<void> {
    const { doFn, context } = this.#options;
    const values: unknown[] = [];
    const timestamps: number[] = [];
    const callbacks: (() => void | Promise<void>)[] = [];
    const splits: { restriction: unknown; watermark: number }[] = [];
    let { watermark, idle } = task;
    const call: SplittableContext<unknown> = {
      output(value, timestamp) {
        checkTimestamp(timestamp);
        values.push(value);
        timestamps.push(timestamp);
      },
      advanceWatermark(to) {
        const checked = checkedWatermark(to);
        if (checked > watermark) watermark = checked;
      },
      setIdle(now) {
        idle = now;
      },
      splitOff: (restriction, from) => splits.push({ restriction, watermark: checkedWatermark(from) }),
      reportBacklog(records) {
        task.backlog = records;
      },
      afterBundleCommit: (callback) => callbacks.push(callback),
      signal: this.#stopped.signal,
    };
    try {
      const tracker = doFn.createTracker(task.restriction);
      const answer = await doFn.process(task.element, task.restriction, tracker, call);
      const residual = answer.resume ? tracker.checkpoint() : undefined;
      const delayMs = answer.resume ? checkedResume(answer.delayMs) : 0;
      this.#pieces.push({ task, values, timestamps, watermark, idle, residual, delayMs, splits, callbacks });
    } catch (error) {
      if (this.#stopped.signal.aborted) {
        // Nothing of this call was kept: the restriction stays as it is.
        this.#running.delete(task);
      } else if (error instanceof PlatformError && error.retryable) {
        const delayMs = Math.min(FIRST_RETRY_MS * 2 ** task.failures, LONGEST_RETRY_MS) * (0.5 + Math.random() / 2);
        task.failures += 1;
        task.resumeAt = context.now() + delayMs;
        this.#running.delete(task);
        this.#options.onRetry(this.name, error, delayMs);
      } else {
        this.#failure ??= new TransformFailedError(this.name, 'process', task.element, error);
      }
    }
    wake();
  }

  /** Emits one finished piece into the open bundle; false when there is none. */
  emitNext(): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    const piece = this.#pieces.shift();
    if (piece === undefined) return false;
    const { task, values, timestamps } = piece;
    const { output } = this.#options;
    for (let index = 0; index < values.length; index += 1) {
      output.receive(values[index], timestamps[index] as EventTime, GLOBAL_WINDOW, NO_FIRING);
    }
    task.watermark = piece.watermark;
    task.idle = piece.idle;
    task.failures = 0;
    if (piece.residual !== undefined) {
      task.restriction = piece.residual;
      task.resumeAt = piece.delayMs === 0 ? 0 : this.#options.context.now() + piece.delayMs;
    }
    if (piece.residual === undefined || this.#isDraining) this.#tasks = this.#tasks.filter((other) => other !== task);
    if (piece.residual !== undefined && this.#isDraining) this.#place(task);
    for (const { restriction, watermark } of piece.splits) {
      this.#place(newTask(task.element, restriction, watermark));
    }
    this.#running.delete(task);
    for (const callback of piece.callbacks) this.#options.context.afterBundleCommit(callback);
    return true;
  }

  /** The slowest restriction that is not idle; when all are idle, where the fastest has been. */
  protected override watermarkHold(): number {
    if (this.#splitting.size > 0) return MIN_EVENT_TIME;
    let slowest = Number.POSITIVE_INFINITY;
    let fastest: number = MIN_EVENT_TIME;
    for (const task of this.#tasks) {
      if (!task.idle && task.watermark < slowest) slowest = task.watermark;
      if (task.watermark > fastest) fastest = task.watermark;
    }
    if (this.#tasks.length === 0) return MAX_EVENT_TIME;
    return slowest === Number.POSITIVE_INFINITY ? fastest : slowest;
  }

  override beginSnapshot(): OperatorSnapshot {
    return smallSnapshot(
      [...this.#tasks, ...this.#left].map(({ element, restriction, watermark, idle }) => ({
        element,
        restriction,
        watermark,
        idle,
      })),
    );
  }

  override restore(parts: readonly SavedPart[]): void {
    const saved = parts.flatMap(({ head }) => head as readonly SavedTask[]);
    // What was idle when it was saved may have work by now: it holds the watermark until it was looked at.
    this.#tasks = saved.map(({ element, restriction, watermark }) => newTask(element, restriction, watermark));
  }
}
