import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import {
  type Clock,
  MAX_EVENT_TIME,
  MIN_EVENT_TIME,
  type ProcessingTime,
  processingTime,
  systemClock,
} from '#kernel/time';
import { type Logger, silentLogger } from '#monitoring/log';
import { SnapshotError } from '#pipelines/engine/errors';
import { Executor, type ExecutorOptions } from '#pipelines/engine/executor';
import type { Plan } from '#pipelines/engine/plan';
import type { TestStreamOperator } from '#pipelines/engine/simple_operators';
import { GLOBAL_WINDOW } from '#pipelines/engine/window';
import type { PipelineMetrics } from './pipeline_metrics.ts';
import { SnapshotStore, type SnapshotWriter } from './snapshot_store.ts';

export interface EmbeddedOptions {
  readonly log?: Logger;
  readonly clock?: Clock;
  readonly metrics?: PipelineMetrics;
  /** Where state survives a restart. Without it a failed bundle starts the whole job afresh. */
  readonly snapshots?: { readonly directory: string; readonly intervalMs: number };
  /** For tests: encode and decode every element between transforms, and refuse a DoFn that changes its input. */
  readonly strict?: boolean;
  /** Times a failing bundle is tried again from the newest snapshot before the job fails. */
  readonly maxRetries?: number;
}

export type PipelineState = 'starting' | 'running' | 'draining' | 'done' | 'failed' | 'stopped';

/** A running job. */
export interface PipelineHandle {
  readonly state: PipelineState;
  /** Resolves when the job has ended: all sources done, drained or stopped. Rejects with what made it fail. */
  readonly finished: Promise<void>;
  /** Records the sources know of and have not read. */
  backlogRecords(): number;
  /** Event time, ms; everything older has been dealt with. */
  watermark(): number;
  /** Stops reading, finishes what was read, makes it durable, ends. */
  drain(): Promise<void>;
  /** Ends at once; what the newest snapshot does not cover will be done again. */
  stop(): Promise<void>;
}

const DEFAULT_RETRIES = 3;
const FIRST_BACKOFF_MS = 100;
/** How long a bundle may take more pieces in before it closes. */
const BUNDLE_BUDGET_MS = 5;
const LONGEST_SLEEP_MS = 1_000;

/** Runs a plan in this process, on this thread, yielding to the event loop between bundles. */
export function runEmbedded(plan: Plan, options: EmbeddedOptions = {}): PipelineHandle {
  const job = new EmbeddedJob(plan, options);
  job.begin();
  return job;
}

/** How long a snapshot may take between two bundles. */
const SNAPSHOT_BUDGET_MS = 8;

interface SnapshotInProgress {
  readonly writer: SnapshotWriter;
  readonly startedMs: number;
  readonly callbacks: readonly (() => void | Promise<void>)[];
}

class ScriptedClock implements Clock {
  #now = 0;

  now(): ProcessingTime {
    return processingTime(this.#now);
  }

  advance(millis: number): void {
    this.#now += millis;
  }

  advanceTo(time: number): void {
    this.#now = Math.max(this.#now, time);
  }
}

class EmbeddedJob implements PipelineHandle {
  state: PipelineState = 'starting';
  finished: Promise<void> = Promise.resolve();
  readonly #plan: Plan;
  readonly #log: Logger;
  readonly #clock: Clock;
  /** Processing time as a TestStream moves it. */
  readonly #scriptedClock: ScriptedClock | undefined;
  readonly #metrics: PipelineMetrics | undefined;
  readonly #store: SnapshotStore | undefined;
  readonly #intervalMs: number;
  readonly #maxRetries: number;
  readonly #strict: boolean;
  #executor: Executor;
  #drainRequested = false;
  #stopRequested = false;
  #wake: () => void = () => {};
  #woken = false;
  #snapshotDueAt = 0;
  #changedSinceSnapshot = false;
  #failures = 0;
  readonly #finalising = new Set<Promise<void>>();
  #snapshot: SnapshotInProgress | undefined;

  constructor(plan: Plan, options: EmbeddedOptions) {
    this.#plan = plan;
    this.#log = (options.log ?? silentLogger).child({ component: 'pipelines.runner' });
    this.#scriptedClock = plan.transforms.some(({ kind }) => kind === 'testStream') ? new ScriptedClock() : undefined;
    this.#clock = this.#scriptedClock ?? options.clock ?? systemClock;
    this.#metrics = options.metrics;
    this.#intervalMs = options.snapshots?.intervalMs ?? 0;
    this.#store = options.snapshots && new SnapshotStore(options.snapshots.directory, this.#log);
    this.#maxRetries = options.maxRetries ?? (options.snapshots === undefined ? 0 : DEFAULT_RETRIES);
    this.#strict = options.strict ?? false;
    this.#executor = this.#createExecutor();
  }

  begin(): void {
    this.finished = this.#run();
    // The caller may look at `finished` late; a failure is also logged.
    this.finished.catch(() => {});
  }

  backlogRecords(): number {
    return this.#executor.sources.reduce((sum, source) => sum + source.backlogRecords, 0);
  }

  watermark(): number {
    return this.#executor.watermark();
  }

  async drain(): Promise<void> {
    this.#drainRequested = true;
    this.#wakeUp();
    await this.finished;
  }

  async stop(): Promise<void> {
    this.#stopRequested = true;
    this.#wakeUp();
    await this.finished.catch(() => {});
  }

  #createExecutor(): Executor {
    return new Executor(this.#plan, {
      strict: this.#strict,
      ...this.#stageTimes(),
      now: () => this.#clock.now(),
      onDroppedLate: (transform) => this.#metrics?.droppedLate.inc({ transform }),
      onRetry: (transform, error, delayMs) =>
        this.#log.warn({ transform, error, delayMs: Math.round(delayMs) }, 'source.retrying'),
    });
  }

  #stageTimes(): Pick<ExecutorOptions, 'onStage'> {
    const metrics = this.#metrics;
    if (metrics === undefined) return {};
    return { onStage: (transform, seconds) => metrics.stageSeconds.observe({ transform }, seconds) };
  }

  async #run(): Promise<void> {
    try {
      for (;;) {
        try {
          await this.#open();
          await this.#loop();
          break;
        } catch (error) {
          await this.#executor.teardown().catch(() => {});
          await this.#abandonSnapshot();
          if (this.#stopRequested || error instanceof SnapshotError || this.#failures >= this.#maxRetries) throw error;
          const delayMs = FIRST_BACKOFF_MS * 2 ** this.#failures;
          this.#failures += 1;
          this.#metrics?.bundleFailures.inc();
          this.#log.error({ error, attempt: this.#failures, delayMs }, 'bundle.failed_restarting_from_snapshot');
          await sleep(delayMs);
          this.#executor = this.#createExecutor();
        }
      }
      await Promise.all(this.#finalising);
      await this.#executor.teardown();
      this.state = this.#stopRequested ? 'stopped' : 'done';
      this.#log.info({ state: this.state }, 'pipeline.ended');
    } catch (error) {
      this.state = 'failed';
      this.#log.error({ error }, 'pipeline.failed');
      throw error;
    }
  }

  async #open(): Promise<void> {
    const snapshot = await this.#store?.load();
    if (snapshot !== undefined) {
      this.#executor.restore(snapshot.transforms);
      this.#log.info({ sequence: snapshot.sequence }, 'snapshot.restored');
    }
    await this.#executor.setup();
    this.#snapshotDueAt = this.#clock.now() + this.#intervalMs;
    this.state = 'running';
  }

  async #loop(): Promise<void> {
    const executor = this.#executor;
    while (!this.#stopRequested) {
      if (this.#drainRequested) break;
      const step = executor.testStreams.find(({ nextAdvanceMs }) => nextAdvanceMs !== undefined);
      this.#scriptedClock?.advance(step?.nextAdvanceMs ?? 0);
      const now = this.#clock.now();
      for (const source of executor.sources) source.startDue(now, () => this.#wakeUp());
      const timerAt = executor.nextProcessingTime();
      const work =
        step !== undefined ||
        executor.isImpulsePending ||
        executor.sources.some((source) => source.hasPieces) ||
        (timerAt !== undefined && timerAt <= now);
      if (work) {
        await this.#bundle(now, step);
        await nextTurn();
      } else if (executor.sources.every((source) => !source.hasWork)) {
        // Nothing to read any more: one more pass lets the end of time through; timers in processing time may remain.
        await this.#bundle(now);
        if (executor.isFinished || executor.nextProcessingTime() === undefined) break;
        if (this.#scriptedClock === undefined) await this.#sleepUntil(executor.nextProcessingTime() as number);
        else this.#scriptedClock.advanceTo(executor.nextProcessingTime() as number);
      } else {
        await this.#maybeSnapshot(now);
        // A snapshot under way is finished before anything is waited for.
        if (this.#snapshot === undefined) await this.#sleepUntil(this.#nextEventAt(timerAt));
        else await nextTurn();
      }
    }
    if (this.#stopRequested) {
      await this.#abandonSnapshot();
      return;
    }
    this.state = 'draining';
    await Promise.all(executor.sources.map((source) => source.interrupt()));
    while (executor.sources.some((source) => source.hasPieces)) await this.#bundle(this.#clock.now());
    await this.#commit();
  }

  async #abandonSnapshot(): Promise<void> {
    const writer = this.#snapshot?.writer;
    this.#snapshot = undefined;
    await writer?.abandon();
  }

  #nextEventAt(timerAt: number | undefined): number {
    let next = this.#clock.now() + LONGEST_SLEEP_MS;
    if (timerAt !== undefined && timerAt < next) next = timerAt;
    for (const source of this.#executor.sources) {
      const at = source.nextResumeAt();
      if (at !== undefined && at < next) next = at;
    }
    if (this.#store !== undefined && this.#changedSinceSnapshot && this.#snapshotDueAt < next)
      next = this.#snapshotDueAt;
    return next;
  }

  async #bundle(now: number, step?: TestStreamOperator): Promise<void> {
    const startedMs = performance.now();
    const { sources } = this.#executor;
    await this.#executor.runBundle(() => {
      step?.step();
      // One piece of each source in turn, so that a busy one does not starve the others.
      for (let more = true; more && performance.now() - startedMs < BUNDLE_BUDGET_MS; ) {
        more = false;
        for (const source of sources) if (source.emitNext()) more = true;
      }
      // Read ahead by one piece while the sinks work.
      if (!this.#drainRequested && !this.#stopRequested) {
        for (const source of sources) source.startDue(now, () => this.#wakeUp());
      }
    }, now);
    this.#changedSinceSnapshot = true;
    const metrics = this.#metrics;
    if (metrics !== undefined) {
      metrics.bundles.inc();
      metrics.bundleSeconds.observe((performance.now() - startedMs) / 1_000);
      const watermark = this.watermark();
      if (watermark > MIN_EVENT_TIME && watermark < MAX_EVENT_TIME) {
        metrics.watermarkLagSeconds.set((this.#clock.now() - watermark) / 1_000);
      }
      metrics.backlogRecords.set(this.backlogRecords());
      for (const [transform, count] of this.#executor.elementCounts()) metrics.setElements(transform, count);
      for (const [transform, at] of this.#executor.watermarks()) {
        if (at > MIN_EVENT_TIME && at < GLOBAL_WINDOW.end) metrics.transformWatermark.set({ transform }, at / 1_000);
      }
      for (const { transform, metric } of this.#executor.metrics) metrics.setUserMetric(transform, metric);
    }
    if (this.#store === undefined) this.#runCallbacks(this.#executor.takeCallbacks());
    else await this.#maybeSnapshot(now);
  }

  /** Begins a snapshot that is due, or goes on with the one under way for a while. */
  async #maybeSnapshot(now: number): Promise<void> {
    if (this.#store === undefined) return;
    if (this.#snapshot === undefined) {
      if (!this.#changedSinceSnapshot || now < this.#snapshotDueAt) return;
      this.#beginSnapshot(this.#store);
    }
    await this.#continueSnapshot(SNAPSHOT_BUDGET_MS);
  }

  #beginSnapshot(store: SnapshotStore): void {
    const writer = store.begin();
    const startedMs = performance.now();
    writer.start(this.#executor.beginSnapshot((transform, entry) => writer.take(transform, entry)));
    this.#changedSinceSnapshot = false;
    this.#snapshot = { writer, startedMs, callbacks: this.#executor.takeCallbacks() };
  }

  async #continueSnapshot(budgetMs: number): Promise<void> {
    const snapshot = this.#snapshot;
    if (snapshot === undefined || !snapshot.writer.step(budgetMs)) return;
    this.#executor.endSnapshot();
    this.#snapshot = undefined;
    const { writer, startedMs, callbacks } = snapshot;
    await writer.finish();
    this.#failures = 0;
    this.#snapshotDueAt = this.#clock.now() + this.#intervalMs;
    const elapsedMs = performance.now() - startedMs;
    this.#metrics?.snapshotSeconds.observe(elapsedMs / 1_000);
    this.#log.debug({ sequence: writer.sequence, bytes: writer.bytes, elapsedMs }, 'snapshot.written');
    this.#runCallbacks(callbacks);
  }

  /** Makes everything so far durable, then tells whoever waits for that. */
  async #commit(): Promise<void> {
    if (this.#store === undefined) {
      this.#runCallbacks(this.#executor.takeCallbacks());
      return;
    }
    while (this.#snapshot !== undefined) await this.#finishSnapshotPiece();
    this.#beginSnapshot(this.#store);
    while (this.#snapshot !== undefined) await this.#finishSnapshotPiece();
  }

  async #finishSnapshotPiece(): Promise<void> {
    await this.#continueSnapshot(SNAPSHOT_BUDGET_MS);
    await nextTurn();
  }

  /** Finalisation is best effort and may be slow: reading goes on meanwhile, ending waits for it. */
  #runCallbacks(callbacks: readonly (() => void | Promise<void>)[]): void {
    const run = async (callback: () => void | Promise<void>): Promise<void> => {
      try {
        await callback();
      } catch (error) {
        this.#log.warn({ error }, 'bundle.callback_failed');
      }
    };
    const finalising = Promise.all(callbacks.map(run)).then(() => {
      this.#finalising.delete(finalising);
    });
    this.#finalising.add(finalising);
  }

  #wakeUp(): void {
    this.#woken = true;
    this.#wake();
  }

  async #sleepUntil(time: number): Promise<void> {
    if (!this.#woken) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(0, time - this.#clock.now()));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#wake = () => {};
    this.#woken = false;
  }
}
