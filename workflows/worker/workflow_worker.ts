import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import type { Service } from '#kernel/lifecycle';
import { type Clock, systemClock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import { LeaseLostError } from '../errors.ts';
import type { HeldFrame } from '../store/frame.ts';
import { DUE_CHANNEL, FrameStore } from '../store/frame_store.ts';
import { sqlWorkflowStore, type WorkflowStore } from '../store/workflow_store.ts';
import type { TaskValues } from '../tasks/task.ts';
import type { TaskRegistry } from '../tasks/task_registry.ts';
import { NO_VALUES } from '../tasks/task_values.ts';
import { Drive, type DriveDeps } from './drive.ts';
import type { WorkflowMetrics } from './metrics.ts';
import { type RunInProcess, runHere } from './run_task.ts';
import { TaskLog } from './task_log.ts';

export interface WorkerDeps {
  readonly sql: SqlExecutor;
  readonly log: Logger;
  readonly tasks: TaskRegistry;
  readonly metrics?: WorkflowMetrics | undefined;
  /** Default: in this process. */
  readonly runInProcess?: RunInProcess | undefined;
  /** Variables and connections of the settings. */
  readonly values?: TaskValues | undefined;
  /** Called once when no step has run for `idleMs`. */
  readonly onIdle?: (() => void) | undefined;
  /** Default: that of the system. */
  readonly clock?: Clock | undefined;
}

export interface WorkerSettings {
  /** Steps at a time. */
  readonly concurrency: number;
  /** A worker that does not extend its leases for so long has lost its steps, ms. */
  readonly leaseMs: number;
  /** How often steps that are due are read from the database, ms. Steps that this process makes due, and those that PostgreSQL notifies of, start at once. */
  readonly pollMs: number;
  /** How often deadlines, queues and metrics are looked at, ms. */
  readonly upkeepMs: number;
  /** Whether no other process has the database: what was held when it opened is free. */
  readonly isOnlyProcess: boolean;
  /** Runs that ended so long ago are deleted, ms; undefined: kept. */
  readonly retentionMs?: number | undefined;
  /** Default: never idle, ms. */
  readonly idleMs?: number | undefined;
}

interface Held {
  readonly frame: HeldFrame;
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

const EXTENSIONS_PER_LEASE = 3;
const ERROR_PAUSE_MS = 500;
const RETENTION_EVERY_MS = 3_600_000;

/** Takes steps of runs that are due and does them. Any number of workers share a database. */
export class WorkflowWorker implements Service {
  readonly name = 'workflow worker';
  /** Names the worker in leases. */
  readonly id = `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
  readonly store: WorkflowStore;
  readonly #deps: WorkerDeps;
  readonly #settings: WorkerSettings;
  readonly #log: Logger;
  readonly #frames: FrameStore;
  readonly #driving: DriveDeps;
  readonly #held = new Map<string, Held>();
  #stopping = new AbortController();
  #isStarted = false;
  #wake: () => void = () => {};
  #isWoken = false;
  #loop: Promise<void> = Promise.resolve();
  #upkeep: Promise<void> = Promise.resolve();
  #extending: NodeJS.Timeout | undefined;
  #unlisten: (() => Promise<void>) | undefined;
  #retainedAt = 0;
  /** When a step last ran; undefined once `onIdle` was called. */
  #activeMs: number | undefined;

  constructor(deps: WorkerDeps, settings: WorkerSettings) {
    this.#deps = deps;
    this.#settings = settings;
    this.#log = deps.log.child({ component: 'workflows.worker' });
    this.#frames = new FrameStore(deps.sql, settings);
    this.#driving = this.#depsOfDrive();
    this.store = sqlWorkflowStore(deps.sql, () => this.wake());
  }

  async start(): Promise<void> {
    this.#stopping = new AbortController();
    const { isOnlyProcess, leaseMs } = this.#settings;
    if (isOnlyProcess) await this.#frames.releaseAll();
    this.#unlisten = await this.#deps.sql.listen?.(DUE_CHANNEL, () => this.wake());
    this.#extending = setInterval(() => void this.#extend(), leaseMs / EXTENSIONS_PER_LEASE);
    this.#isStarted = true;
    this.#activeMs = this.#nowMs;
    this.#loop = this.#run();
    this.#upkeep = this.#lookAfter();
  }

  /** Looks for steps that are due now. */
  wake(): void {
    this.#isWoken = true;
    this.#wake();
  }

  get #nowMs(): number {
    return (this.#deps.clock ?? systemClock).now();
  }

  /** How many steps run. */
  get active(): number {
    return this.#held.size;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#isWoken = false;
      try {
        const free = this.#settings.concurrency - this.#held.size;
        const claimed = free > 0 ? await this.#frames.claim(this.id, this.#deps.tasks.ids, free) : [];
        if (signal.aborted) await this.#frames.release(this.id, claimed);
        else for (const frame of claimed) this.#drive(frame);
        if (claimed.length > 0 && claimed.length < free) continue;
        await this.#pause(free > 0 && claimed.length === 0 ? await this.#untilDue() : this.#settings.pollMs);
      } catch (error) {
        this.#log.warn({ error }, 'workflows.claim_failed');
        await this.#pause(ERROR_PAUSE_MS);
      }
    }
  }

  async #untilDue(): Promise<number> {
    const ms = await this.#frames.msUntilDue(this.#deps.tasks.ids);
    return Math.min(this.#settings.pollMs, Math.ceil(ms ?? this.#settings.pollMs));
  }

  /** Until woken, or so long at most. */
  async #pause(ms: number): Promise<void> {
    if (this.#isWoken || this.#stopping.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => {};
  }

  #drive(frame: HeldFrame): void {
    const key = keyOf(frame);
    const abort = new AbortController();
    const before = this.#held.get(key);
    // Its lease ran out in this process, which has taken it again.
    before?.abort.abort();
    const done = new Drive(this.#driving, frame, abort.signal)
      .run()
      .catch((error: unknown) => {
        if (error instanceof LeaseLostError) {
          this.#log.info({ run: frame.runId, path: frame.path }, 'workflows.lease_lost');
          return;
        }
        this.#deps.metrics?.errors.inc();
        this.#log.warn({ error, run: frame.runId, path: frame.path, state: frame.state }, 'workflows.step_failed');
      })
      .finally(() => {
        if (this.#held.get(key)?.abort === abort) this.#held.delete(key);
        this.wake();
      });
    this.#held.set(key, { frame, abort, done });
    if (this.#activeMs !== undefined) this.#activeMs = this.#nowMs;
  }

  #depsOfDrive(): DriveDeps {
    const { sql, tasks, metrics, runInProcess = runHere, values = NO_VALUES } = this.#deps;
    return {
      ...{ frames: this.#frames, tasks, runInProcess, values },
      logOf: ({ runId, path }, state, attempt) =>
        new TaskLog(sql, { runId, path, state, attempt }, (error) => {
          this.#log.warn({ error, run: runId }, 'workflows.log_failed');
        }),
      onDue: () => this.wake(),
      onEnd: ({ workflow, runStartedAt }, status) => {
        metrics?.runs.inc({ workflow, status });
        metrics?.runSeconds.observe({ workflow, status }, Math.max(0, Date.now() - Date.parse(runStartedAt)) / 1_000);
      },
      onWritten: ({ dataset, rows }) => metrics?.writtenRows.inc({ dataset }, rows),
      onTask: (task, seconds, isFailure) =>
        metrics?.taskSeconds.observe({ task, status: isFailure ? 'failed' : 'succeeded' }, seconds),
    };
  }

  async #extend(): Promise<void> {
    const held = [...this.#held.values()];
    if (held.length === 0) return;
    try {
      const kept = new Set(
        (
          await this.#frames.extend(
            this.id,
            held.map(({ frame }) => frame),
          )
        ).map((each) => `${keyOf(each)}#${each.fence}`),
      );
      // Taken over, cancelled, or ended meanwhile.
      for (const { frame, abort } of held) if (!kept.has(`${keyOf(frame)}#${frame.fence}`)) abort.abort();
    } catch (error) {
      this.#log.warn({ error }, 'workflows.extend_failed');
    }
  }

  async #lookAfter(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        this.#lookWhetherIdle();
        await this.#lookOnce();
      } catch (error) {
        this.#log.warn({ error }, 'workflows.upkeep_failed');
      }
      await delay(this.#settings.upkeepMs, undefined, { signal }).catch(() => {});
    }
  }

  #lookWhetherIdle(): void {
    const { idleMs } = this.#settings;
    if (idleMs === undefined || this.#activeMs === undefined) return;
    if (this.#held.size > 0) this.#activeMs = this.#nowMs;
    else if (this.#nowMs - this.#activeMs >= idleMs) {
      this.#activeMs = undefined;
      this.#log.info({ worker: this.id, idleMs }, 'workflows.worker_idle');
      this.#deps.onIdle?.();
    }
  }

  async #lookOnce(): Promise<void> {
    const { metrics, tasks } = this.#deps;
    const { retentionMs } = this.#settings;
    for (const run of await this.store.timeOut()) this.#log.warn({ run }, 'workflows.run_timed_out');
    await this.store.admit();
    if (retentionMs !== undefined && Date.now() - this.#retainedAt > RETENTION_EVERY_MS) {
      this.#retainedAt = Date.now();
      const runs = await this.store.deleteEndedBefore(retentionMs);
      if (runs > 0) this.#log.info({ runs }, 'workflows.runs_deleted');
    }
    if (metrics === undefined) return;
    const statistics = await this.store.statistics(tasks.ids);
    metrics.active.reset();
    metrics.queueAge.reset();
    metrics.missing.reset();
    metrics.dueAge.set(statistics.oldestDueSeconds);
    for (const { workflow, status, runs } of statistics.runs) metrics.active.set({ workflow, status }, runs);
    for (const { workflow, seconds } of statistics.queued) metrics.queueAge.set({ workflow }, seconds);
    for (const { task, steps } of statistics.missingTasks) metrics.missing.set({ task }, steps);
  }

  /** Takes no new steps; resolves when those that run have ended. */
  async drain(deadline: AbortSignal): Promise<void> {
    this.#stopping.abort();
    this.wake();
    await this.#loop;
    const aborted = new Promise<void>((resolve) => deadline.addEventListener('abort', () => resolve(), { once: true }));
    await Promise.race([Promise.all([...this.#held.values()].map(({ done }) => done)), aborted]);
  }

  async stop(): Promise<void> {
    if (!this.#isStarted) return;
    this.#isStarted = false;
    this.#stopping.abort();
    this.wake();
    await this.#loop;
    await this.#upkeep;
    clearInterval(this.#extending);
    const left = [...this.#held.values()];
    for (const { abort } of left) abort.abort();
    await Promise.all(left.map(({ done }) => done));
    // Others need not wait for the leases to run out.
    await this.#frames
      .release(
        this.id,
        left.map(({ frame }) => frame),
      )
      .catch((error: unknown) => {
        this.#log.warn({ error }, 'workflows.release_failed');
      });
    await this.#unlisten?.().catch(() => {});
  }
}

const keyOf = ({ runId, path }: Pick<HeldFrame, 'runId' | 'path'>): string => `${runId}\n${path}`;
