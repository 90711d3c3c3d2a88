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
import { InvalidPipelineError, JobNotFinishedError, SnapshotError } from '#pipelines/engine/errors';
import { Executor, type ExecutorOptions, type RestorePolicy } from '#pipelines/engine/executor';
import type { TestStreamOperator } from '#pipelines/engine/operators/simple_operators';
import type { Plan } from '#pipelines/engine/plan';
import { cutIntoStages } from '#pipelines/engine/stages';
import type { StateChange } from '#pipelines/engine/state/state_schema';
import { GLOBAL_WINDOW } from '#pipelines/engine/windowing/window';
import { DiskFullError, LockLostError, NoAccessError } from '#storage/errors';
import { FolderLock } from '#storage/folder_lock';
import { CommittedMetrics } from './committed_metrics.ts';
import { type Execution, LocalExecution } from './execution.ts';
import { GraphSampler, type JobGraph } from './job_graph.ts';
import type { PipelineMetrics } from './pipeline_metrics.ts';
import type { LaunchShard } from './sharded/messages.ts';
import { graphOf } from './sharded/shard.ts';
import { ShardHandle } from './sharded/shard_handle.ts';
import { ShardedExecution } from './sharded/sharded_execution.ts';
import { loadWhole } from './snapshot_parts.ts';
import { SnapshotStore, type SnapshotWriter } from './snapshot_store.ts';
import { openableState, type StateOptions } from './state_options.ts';

/** How a pipeline runs in this process. */
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
  /** Spreads keys over so many threads beside this one, where the pipeline allows it (see {@link cutIntoStages}). */
  readonly shards?: { readonly count: number; readonly launch: LaunchShard };
  /** Where the state of DoFns lives: in the heap by default. Any of them restores the snapshots of any other. */
  readonly state?: StateOptions;
  /** What becomes of saved state that the pipeline has no place for any more; by default the restore is refused, naming it. */
  readonly restore?: RestorePolicy;
}

export type PipelineState = 'starting' | 'running' | 'draining' | 'done' | 'failed' | 'stopped' | 'cancelled';

export interface JobRestarts {
  /** Times of the newest restarts by the job's clock, ms, oldest first; at most {@link RESTARTS_KEPT}. */
  readonly timesMs: readonly number[];
  /** What made it restart the last time. */
  readonly lastError: unknown;
  /** It has failed and waits before it begins again. */
  readonly isWaiting: boolean;
}

/** A running job. */
export interface PipelineHandle {
  readonly state: PipelineState;
  /** How often it began again from its newest snapshot, and why. */
  readonly restarts: JobRestarts;
  /** When the bundle under way began, ms of {@link performance.now}; undefined between bundles. */
  readonly bundleSinceMs: number | undefined;
  /** Resolves when the job has ended: all sources done, drained, stopped or cancelled. Rejects with what made it fail. */
  readonly finished: Promise<void>;
  /** Resolves when the snapshots' folder is this process's and the newest snapshot was restored. Rejects where that cannot be. */
  readonly loaded: Promise<void>;
  /** Records the sources know of and have not read. */
  backlogRecords(): number;
  /** Event time, ms; everything older has been processed. */
  watermark(): number;
  /** Returns the job as it is now, transform by transform. */
  graph(): JobGraph;
  /** Removes all snapshots but the newest, for what must not come back. */
  discardOlderSnapshots(): Promise<void>;
  /**
   * Ends the job with its results whole, as Beam's drain: bounded sources are read to their end, others left where they are; then the watermark goes to the end of time, so that
   * windows close, timers fire and panes come out. A job that begins with the snapshot reads on where the sources are, with windows that are empty.
   */
  drain(): Promise<void>;
  /**
   * Ends the job with its state whole, as Flink's stop with a savepoint: finishes what was read and saves all state, open windows included. A job that begins with the snapshot
   * resumes there.
   *
   * @throws InvalidPipelineError for a job without snapshots, whose state would be lost: drain or cancel it
   */
  stop(): Promise<void>;
  /** Ends at once; what the newest snapshot does not cover will be done again, or is lost without one. */
  cancel(): Promise<void>;
}

const DEFAULT_RETRIES = 3;
const FIRST_BACKOFF_MS = 100;
/** A job that is retried for ever is tried at least so often. */
const LONGEST_BACKOFF_MS = 30_000;
const RESTARTS_KEPT = 20;
/** How long a bundle may take more pieces in before it closes. */
const BUNDLE_BUDGET_MS = 5;
const LONGEST_SLEEP_MS = 1_000;

/** Passes without anything to read or to fire that do not finish a job. */
const MOST_IDLE_PASSES = 3;
/** Timers of processing time that a drain fires before their time. */
const MOST_EARLY_FIRINGS = 1_000;

/** Runs a plan in this process: on this thread, yielding to the event loop between bundles, or with `shards` on several. */
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
  readonly onDurable: () => void;
  /** All of this thread's state is in it. */
  isWritten: boolean;
}

/** The plan with DoFns of its own, which no failed bundle has touched. */
function rebuilt(plan: Plan): Plan {
  const fresh = plan.rebuild?.();
  if (fresh === undefined) return plan;
  if (graphOf(fresh) === graphOf(plan)) return fresh;
  throw new InvalidPipelineError(
    'the pipeline was built again after a failed bundle, and came out another: it must be the same each time that it is built with the same options',
  );
}

/** What keeps a job from being finished: the transforms that are held, with the time. */
function leftBy(execution: Execution): readonly string[] {
  return [...execution.watermarks()].flatMap(([name, at]) => {
    if (at >= MAX_EVENT_TIME) return [];
    const time = Math.abs(at) < LATEST_DATE_MS ? new Date(at).toISOString() : String(at);
    return [`transform "${name}" is held at ${time}`];
  });
}

const LATEST_DATE_MS = 8.64e15;

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
  readonly restarts = { timesMs: [] as number[], lastError: undefined as unknown, isWaiting: false };
  bundleSinceMs: number | undefined;
  finished: Promise<void> = Promise.resolve();
  loaded: Promise<void> = Promise.resolve();
  #plan: Plan;
  readonly #log: Logger;
  readonly #clock: Clock;
  /** Processing time as a TestStream moves it. */
  readonly #scriptedClock: ScriptedClock | undefined;
  readonly #metrics: PipelineMetrics | undefined;
  readonly #store: SnapshotStore | undefined;
  readonly #intervalMs: number;
  readonly #maxRetries: number;
  readonly #strict: boolean;
  readonly #shards: EmbeddedOptions['shards'];
  readonly #snapshotDirectory: string | undefined;
  readonly #restore: RestorePolicy | undefined;
  readonly #state: StateOptions | undefined;
  #execution: Execution;
  #drainRequested = false;
  #isTruncated = false;
  #stopRequested = false;
  #cancelRequested = false;
  readonly #committed: CommittedMetrics;
  readonly #sampler = new GraphSampler(performance.now());
  /** Ends the wait before a restart. */
  #endWait: () => void = () => {};
  #wake: () => void = () => {};
  #woken = false;
  #onLoaded: () => void = () => {};
  #lock: FolderLock | undefined;
  #snapshotDueAt = 0;
  #changedSinceSnapshot = false;
  #failures = 0;
  /** There may be parts of threads that it does not have. */
  #hasForeignShards = false;
  readonly #finalising = new Set<Promise<void>>();
  #snapshot: SnapshotInProgress | undefined;

  constructor(plan: Plan, options: EmbeddedOptions) {
    this.#plan = plan;
    this.#log = (options.log ?? silentLogger).child({ component: 'pipelines.runner' });
    this.#scriptedClock = plan.transforms.some(({ kind }) => kind === 'testStream') ? new ScriptedClock() : undefined;
    this.#clock = this.#scriptedClock ?? options.clock ?? systemClock;
    this.#metrics = options.metrics;
    this.#intervalMs = options.snapshots?.intervalMs ?? 0;
    this.#store =
      options.snapshots &&
      new SnapshotStore(options.snapshots.directory, this.#log, undefined, () => this.#lock?.check());
    this.#maxRetries = options.maxRetries ?? (options.snapshots === undefined ? 0 : DEFAULT_RETRIES);
    this.#strict = options.strict ?? false;
    this.#shards = options.shards;
    this.#snapshotDirectory = options.snapshots?.directory;
    this.#restore = options.restore;
    this.#state = options.state;
    this.#committed = new CommittedMetrics(options.metrics);
    this.#execution = this.#createExecution();
  }

  begin(): void {
    this.loaded = new Promise((resolve) => {
      this.#onLoaded = resolve;
    });
    this.finished = this.#run();
    this.loaded = Promise.race([this.loaded, this.finished]);
    // The caller may look at them late; a failure is also logged.
    this.loaded.catch(() => {});
    this.finished.catch(() => {});
  }

  backlogRecords(): number {
    return this.#execution.sources.reduce((sum, source) => sum + source.backlogRecords, 0);
  }

  watermark(): number {
    return this.#execution.watermark();
  }

  graph(): JobGraph {
    return this.#sampler.describe(this.#plan, {
      ...{ nowMs: performance.now(), state: this.state, backlogRecords: this.backlogRecords() },
      counts: this.#execution.elementCounts(),
      watermarks: this.#execution.watermarks(),
    });
  }

  async discardOlderSnapshots(): Promise<void> {
    await this.#store?.discardOlder();
  }

  async drain(): Promise<void> {
    this.#drainRequested = true;
    this.#endWait();
    this.#wakeUp();
    await this.finished;
  }

  async stop(): Promise<void> {
    if (this.#store === undefined) {
      throw new InvalidPipelineError(
        'the job has no snapshots, so that stopping would lose its state: drain it, which closes its windows, cancel it, or run it with snapshots',
      );
    }
    this.#stopRequested = true;
    this.#endWait();
    this.#wakeUp();
    await this.finished;
  }

  async cancel(): Promise<void> {
    this.#cancelRequested = true;
    this.#endWait();
    this.#wakeUp();
    await this.finished.catch(() => {});
  }

  #createExecution(): Execution {
    const plan = this.#plan;
    const onDroppedLate = (transform: string): void => this.#committed.dropLate(transform);
    const options: ExecutorOptions = {
      strict: this.#strict,
      ...this.#stageTimes(),
      now: () => this.#clock.now(),
      onDroppedLate,
      onStateChange: (change) => this.#reportStateChange(change),
      restorePolicy: this.#restore,
      onRetry: (transform, error, delayMs) =>
        this.#log.warn({ transform, error, delayMs: Math.round(delayMs) }, 'source.retrying'),
    };
    const local = (): Execution => {
      const disk = openableState(this.#state, this.#snapshotDirectory);
      const executor = new Executor(plan, { ...options, backend: disk });
      // A script continues only when all that follows from a step has happened.
      const overlap = this.#store !== undefined && executor.testStreams.length === 0;
      return new LocalExecution(executor, { overlap, disk });
    };
    if (this.#shards === undefined) return local();
    const { count, launch } = this.#shards;
    const stages = cutIntoStages(plan, count);
    if (stages.plans.length === 1) {
      this.#log.warn({ reason: 'nothing in it has keys or is reshuffled' }, 'pipeline.runs_on_one_thread');
      return local();
    }
    const spec = {
      shards: count,
      snapshotDirectory: this.#snapshotDirectory,
      strict: this.#strict,
      restore: this.#restore,
      // The threads share the cache.
      state:
        this.#state?.kind === 'disk' ? { ...this.#state, cacheBytes: this.#state.cacheBytes / count } : this.#state,
    };
    return new ShardedExecution({
      local: new Executor(stages.plans[0] as Plan, options),
      stages,
      shards: Array.from({ length: count }, (_, shard) => new ShardHandle(shard, launch({ ...spec, shard }))),
      transforms: new Set(plan.transforms.map(({ name }) => name)),
      graph: graphOf(plan),
      onDroppedLate,
      now: () => this.#clock.now(),
      onStateChange: (change) => this.#reportStateChange(change),
      ...this.#stageTimes(),
    });
  }

  #reportStateChange(change: StateChange): void {
    this.#log.warn({ ...change }, `state.${change.change}`);
    this.#metrics?.stateChanges.inc({ transform: change.transform, change: change.change });
  }

  #stageTimes(): Pick<ExecutorOptions, 'onStage'> {
    const metrics = this.#metrics;
    if (metrics === undefined) return {};
    const own = new Set(this.#plan.transforms.map(({ name }) => name));
    const sampler = this.#sampler;
    return {
      onStage(transform, seconds) {
        // Exchanges between threads are not the pipeline's.
        if (!own.has(transform)) return;
        metrics.stageSeconds.observe({ transform }, seconds);
        sampler.addTime(transform, seconds);
      },
    };
  }

  async #run(): Promise<void> {
    try {
      if (this.#snapshotDirectory !== undefined) this.#lock = await FolderLock.acquire(this.#snapshotDirectory);
      await this.#runAll();
    } catch (error) {
      this.state = 'failed';
      this.#log.error({ error }, 'pipeline.failed');
      throw error;
    } finally {
      await this.#lock?.release();
    }
  }

  /** @param counts - whether it is a restart of the job's own; a full disk is reported by the disk's health, and passes with it */
  async #waitToRestart(error: unknown, delayMs: number, counts: boolean): Promise<void> {
    const { restarts } = this;
    if (counts) restarts.timesMs.push(this.#clock.now());
    if (restarts.timesMs.length > RESTARTS_KEPT) restarts.timesMs.shift();
    restarts.lastError = error;
    restarts.isWaiting = true;
    this.bundleSinceMs = undefined;
    // Draining and stopping do not wait for it; a job that fails while it drains waits again before the next try.
    const waiting = new AbortController();
    this.#endWait = () => waiting.abort();
    await sleep(delayMs, undefined, { signal: waiting.signal }).catch(() => {});
    this.#endWait = () => {};
    restarts.isWaiting = false;
  }

  async #runAll(): Promise<void> {
    for (;;) {
      try {
        await this.#open();
        await this.#loop();
        break;
      } catch (error) {
        await this.#execution.teardown().catch(() => {});
        await this.#abandonSnapshot();
        if (this.#cancelRequested || error instanceof SnapshotError || error instanceof LockLostError) throw error;
        // A full disk is waited out: it is no fault of the pipeline.
        const isDisk = error instanceof DiskFullError || error instanceof NoAccessError;
        if (!isDisk && this.#failures >= this.#maxRetries) throw error;
        const delayMs = Math.min(FIRST_BACKOFF_MS * 2 ** this.#failures, LONGEST_BACKOFF_MS);
        this.#failures += 1;
        this.#metrics?.bundleFailures.inc();
        this.#log.error({ error, attempt: this.#failures, delayMs }, 'bundle.failed_restarting_from_snapshot');
        await this.#waitToRestart(error, delayMs, !isDisk);
        this.#plan = rebuilt(this.#plan);
        this.#committed.restart();
        this.#isTruncated = false;
        this.#execution = this.#createExecution();
      }
    }
    await Promise.all(this.#finalising);
    await this.#execution.teardown();
    if (this.#cancelRequested) this.state = 'cancelled';
    else this.state = this.#stopRequested ? 'stopped' : 'done';
    this.#log.info({ state: this.state }, 'pipeline.ended');
  }

  async #open(): Promise<void> {
    const snapshot = await this.#store?.load();
    const { shards } = this.#execution;
    const isSplit = snapshot !== undefined && shards === 0;
    await this.#execution.restore(
      isSplit ? await loadWhole(this.#snapshotDirectory as string, this.#log, snapshot) : snapshot,
    );
    this.#onLoaded();
    await this.#execution.setup();
    if (snapshot !== undefined) {
      this.#log.info(
        { sequence: snapshot.sequence, threads: shards, threadsBefore: snapshot.shards },
        'snapshot.restored',
      );
    }
    this.#hasForeignShards = snapshot !== undefined;
    this.#snapshotDueAt = this.#clock.now() + this.#intervalMs;
    this.state = 'running';
  }

  async #loop(): Promise<void> {
    const execution = this.#execution;
    let idlePasses = 0;
    while (!this.#cancelRequested) {
      if (this.#stopRequested) break;
      if (this.#drainRequested && !this.#isTruncated) {
        this.#isTruncated = true;
        this.state = 'draining';
        await Promise.all(execution.sources.map((source) => source.truncate()));
      }
      const step = execution.testStreams.find(({ nextAdvanceMs }) => nextAdvanceMs !== undefined);
      this.#scriptedClock?.advance(step?.nextAdvanceMs ?? 0);
      const now = this.#clock.now();
      for (const source of execution.sources) source.startDue(now, () => this.#wakeUp());
      const timerAt = execution.nextProcessingTime();
      const work =
        step !== undefined ||
        execution.isImpulsePending ||
        execution.sources.some((source) => source.hasPieces) ||
        (timerAt !== undefined && timerAt <= now);
      if (work) {
        await this.#bundle(now, step);
        await nextTurn();
      } else if (execution.sources.every((source) => !source.hasWork)) {
        // Nothing to read any more: one more pass lets the end of time through; timers in processing time may remain.
        await this.#bundle(now);
        await this.#settle();
        if (execution.isFinished) break;
        const timer = execution.nextProcessingTime();
        idlePasses += 1;
        // Between threads a watermark may take another pass.
        if (timer === undefined && idlePasses > MOST_IDLE_PASSES) throw new JobNotFinishedError(leftBy(execution));
        if (timer === undefined) continue;
        if (this.#drainRequested) await this.#fireEarly(timer);
        else if (this.#scriptedClock === undefined) await this.#sleepUntil(timer);
        else this.#scriptedClock.advanceTo(timer);
        idlePasses = 0;
      } else {
        await this.#settle();
        await this.#maybeSnapshot(now);
        // A snapshot under way is finished before anything is waited for.
        if (this.#snapshot === undefined) await this.#sleepUntil(this.#nextEventAt(execution.nextProcessingTime()));
        else if (this.#snapshot.isWritten) await execution.besideSnapshot();
        else await nextTurn();
      }
    }
    if (this.#cancelRequested) {
      await this.#abandonSnapshot();
      return;
    }
    this.state = 'draining';
    await Promise.all(execution.sources.map((source) => source.interrupt()));
    while (execution.sources.some((source) => source.hasPieces)) await this.#bundle(this.#clock.now());
    await this.#commit();
  }

  #earlyFirings = 0;

  /** A job that drains does not wait for timers of processing time: they fire before their time. */
  async #fireEarly(timerAt: number): Promise<void> {
    this.#earlyFirings += 1;
    if (this.#earlyFirings > MOST_EARLY_FIRINGS) {
      throw new JobNotFinishedError([
        ...leftBy(this.#execution),
        `a processing-time timer that is set again each time it fires, by now ${MOST_EARLY_FIRINGS} times: stop or cancel such a job instead of draining it`,
      ]);
    }
    await this.#bundle(Math.max(timerAt, this.#clock.now()));
    await this.#settle();
  }

  /** Waits until what the sinks write beside is done. */
  async #settle(): Promise<void> {
    this.bundleSinceMs ??= performance.now();
    await this.#execution.settle();
    this.bundleSinceMs = undefined;
  }

  async #abandonSnapshot(): Promise<void> {
    const writer = this.#snapshot?.writer;
    this.#snapshot = undefined;
    await writer?.abandon();
  }

  #nextEventAt(timerAt: number | undefined): number {
    let next = this.#clock.now() + LONGEST_SLEEP_MS;
    if (timerAt !== undefined && timerAt < next) next = timerAt;
    for (const source of this.#execution.sources) {
      const at = source.nextResumeAt();
      if (at !== undefined && at < next) next = at;
    }
    if (this.#store !== undefined && this.#changedSinceSnapshot && this.#snapshotDueAt < next)
      next = this.#snapshotDueAt;
    return next;
  }

  async #bundle(now: number, step?: TestStreamOperator): Promise<void> {
    const startedMs = performance.now();
    this.bundleSinceMs = startedMs;
    const { sources } = this.#execution;
    await this.#execution.runBundle(() => {
      step?.step();
      // One piece of each source in turn, so that a busy one does not starve the others.
      for (let more = true; more && performance.now() - startedMs < BUNDLE_BUDGET_MS; ) {
        more = false;
        for (const source of sources) if (source.emitNext()) more = true;
      }
      // Read ahead by one piece while the sinks work.
      if (!this.#stopRequested && !this.#cancelRequested) {
        for (const source of sources) source.startDue(now, () => this.#wakeUp());
      }
    }, now);
    this.bundleSinceMs = undefined;
    this.#changedSinceSnapshot = true;
    this.#sampler.observe(performance.now(), () => this.#execution.elementCounts());
    const metrics = this.#metrics;
    if (metrics !== undefined) {
      metrics.bundles.inc();
      metrics.bundleSeconds.observe((performance.now() - startedMs) / 1_000);
      const watermark = this.watermark();
      if (watermark > MIN_EVENT_TIME && watermark < MAX_EVENT_TIME) {
        metrics.watermarkLagSeconds.set((this.#clock.now() - watermark) / 1_000);
      }
      metrics.backlogRecords.set(this.backlogRecords());
      this.#committed.report(this.#execution);
      for (const [transform, at] of this.#execution.watermarks()) {
        if (at > MIN_EVENT_TIME && at < GLOBAL_WINDOW.end) metrics.transformWatermark.set({ transform }, at / 1_000);
      }
    }
    if (this.#store === undefined) this.#runCallbacks(this.#execution.takeCallbacks());
    else await this.#maybeSnapshot(now);
  }

  /** Begins a snapshot that is due, or continues the one under way for a while. */
  async #maybeSnapshot(now: number): Promise<void> {
    if (this.#store === undefined) return;
    if (this.#snapshot === undefined) {
      if (!this.#changedSinceSnapshot || now < this.#snapshotDueAt) return;
      await this.#beginSnapshot(this.#store);
    }
    await this.#continueSnapshot(SNAPSHOT_BUDGET_MS);
    while (this.#snapshot !== undefined && this.#execution.isPressed) await this.#finishSnapshotPiece();
  }

  async #beginSnapshot(store: SnapshotStore): Promise<void> {
    await this.#settle();
    const writer = store.begin();
    const startedMs = performance.now();
    const take = (transform: number, entry: unknown): void => writer.take(transform, entry);
    const isDrained = this.#isTruncated && this.#execution.isFinished && this.#hasLeftWork();
    writer.start(this.#execution.beginSnapshot(writer.sequence, take, isDrained), this.#execution.shards);
    this.#changedSinceSnapshot = false;
    this.#snapshot = {
      writer,
      startedMs,
      callbacks: this.#execution.takeCallbacks(),
      onDurable: this.#committed.beginSnapshot(),
      isWritten: false,
    };
  }

  #hasLeftWork(): boolean {
    return this.#execution.sources.some(({ hasLeftWork }) => hasLeftWork);
  }

  async #continueSnapshot(budgetMs: number): Promise<void> {
    const snapshot = this.#snapshot;
    if (snapshot === undefined) return;
    const { writer, startedMs, callbacks, onDurable } = snapshot;
    if (!snapshot.isWritten) {
      if (!writer.step(budgetMs)) return;
      this.#execution.endSnapshot();
      snapshot.isWritten = true;
    }
    // This file makes the snapshot valid, so that it comes last.
    if (this.#execution.besideSnapshot() !== undefined) return;
    this.#snapshot = undefined;
    const { savedStore } = this.#execution;
    if (savedStore !== undefined) writer.takeStore(savedStore);
    await writer.finish();
    this.#execution.commitSnapshot();
    onDurable();
    if (this.#hasForeignShards)
      this.#hasForeignShards = (await this.#store?.discardShards(this.#execution.shards)) ?? false;
    this.#failures = 0;
    this.#snapshotDueAt = this.#clock.now() + this.#intervalMs;
    const elapsedMs = performance.now() - startedMs;
    this.#reportSnapshot(writer, elapsedMs);
    this.#log.debug({ sequence: writer.sequence, bytes: writer.bytes, elapsedMs }, 'snapshot.written');
    this.#runCallbacks(callbacks);
  }

  #reportSnapshot({ bytes, stateBytes }: SnapshotWriter, durationMs: number): void {
    this.#sampler.snapshotTaken({ at: new Date(this.#clock.now()).toISOString(), durationMs, bytes }, stateBytes);
    const metrics = this.#metrics;
    if (metrics === undefined) return;
    metrics.snapshotSeconds.observe(durationMs / 1_000);
    metrics.snapshotBytes.set(bytes);
    for (const [transform, size] of stateBytes) metrics.stateBytes.set({ transform }, size);
  }

  /** Makes everything so far durable, then resolves what waits for that. */
  async #commit(): Promise<void> {
    await this.#settle();
    if (this.#store === undefined) {
      this.#runCallbacks(this.#execution.takeCallbacks());
      return;
    }
    while (this.#snapshot !== undefined) await this.#finishSnapshotPiece();
    await this.#beginSnapshot(this.#store);
    while (this.#snapshot !== undefined) await this.#finishSnapshotPiece();
  }

  async #finishSnapshotPiece(): Promise<void> {
    await this.#continueSnapshot(SNAPSHOT_BUDGET_MS);
    if (this.#snapshot?.isWritten) await this.#execution.besideSnapshot();
    else await nextTurn();
  }

  /** Finalisation is best effort and may be slow: reading continues meanwhile, ending waits for it. */
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
