import { type EventTime, MAX_EVENT_TIME, MIN_EVENT_TIME } from '#kernel/time';
import type { Executor, TransformSnapshot } from '#pipelines/engine/executor';
import { type Metric, mergeMetrics, type SavedMetric, saveMetric } from '#pipelines/engine/metrics';
import type { Plan } from '#pipelines/engine/plan';
import type { Stages } from '#pipelines/engine/stages';
import type { JobStateOf } from '#pipelines/engine/state/job_state';
import { JobStates } from '#pipelines/engine/state/job_states';
import type { StateChange } from '#pipelines/engine/state/state_schema';
import type { Execution } from '../execution.ts';
import type { LoadedSnapshot } from '../snapshot_store.ts';
import type { StageReport } from './messages.ts';
import type { ShardHandle } from './shard_handle.ts';

export interface ShardedOptions {
  /** Stage 0, on this thread. */
  readonly local: Executor;
  readonly stages: Stages;
  readonly shards: readonly ShardHandle[];
  /** Names of the plan's transforms: others are of the exchanges. */
  readonly transforms: ReadonlySet<string>;
  readonly graph: string;
  readonly onDroppedLate: (transform: string) => void;
  readonly now: () => number;
  readonly onStateChange: (change: StateChange) => void;
  readonly onStage?: (transform: string, seconds: number) => void;
}

type Callback = () => void | Promise<void>;

/** Elements on their way through one exchange, and its watermark as each thread that feeds it sees it. */
interface Traffic {
  /** Chunks for each shard. */
  chunks: Uint8Array[][];
  readonly watermarks: EventTime[];
}

/**
 * One executor here for the sources and what needs no keys, and shards on threads of their own for the rest. Bundles go through the
 * stages one after another; while the shards work on one, the next is made here. At most one is under way, which keeps memory bounded,
 * and all shards take a snapshot at the same bundle, which keeps it consistent.
 */
export class ShardedExecution implements Execution {
  readonly #options: ShardedOptions;
  readonly #local: Executor;
  readonly #shards: readonly ShardHandle[];
  readonly #traffic: readonly Traffic[];
  /** Watermark that each shard was last told, by exchange. */
  readonly #told: number[][];
  /** By stage (1 is the first), then by shard. */
  readonly #reports: StageReport[][];
  /** What the shards' DoFns share: decided here, by the DoFns of this thread, which process nothing. */
  readonly #jobStates: JobStates;
  #callbacks: Callback[] = [];
  #underWay: Promise<void> = Promise.resolve();
  #snapshots: Promise<void> | undefined;

  constructor(options: ShardedOptions) {
    const { stages, shards, local } = options;
    this.#options = options;
    this.#local = local;
    this.#shards = shards;
    this.#traffic = stages.exchanges.map(({ from }) => ({
      chunks: shards.map(() => []),
      watermarks: Array.from({ length: from === 0 ? 1 : shards.length }, () => MIN_EVENT_TIME),
    }));
    this.#told = stages.exchanges.map(() => shards.map(() => Number.NEGATIVE_INFINITY));
    this.#reports = stages.plans.map(() => []);
    this.#jobStates = new JobStates({
      ...(stages.plans[0] as Plan),
      transforms: stages.plans.slice(1).flatMap(({ transforms }) => transforms),
    });
  }

  get shards(): number {
    return this.#shards.length;
  }
  get sources(): Executor['sources'] {
    return this.#local.sources;
  }
  get testStreams(): Executor['testStreams'] {
    return this.#local.testStreams;
  }
  get isImpulsePending(): boolean {
    return this.#local.isImpulsePending;
  }
  get isFinished(): boolean {
    return this.#local.isFinished && this.#allReports().every(({ isFinished }) => isFinished);
  }

  async restore(snapshot?: LoadedSnapshot): Promise<void> {
    const { graph, onStage, stages, onStateChange, now } = this.#options;
    if (snapshot !== undefined) {
      const elsewhere = new Set(stages.plans.flatMap(({ transforms }) => transforms.map(({ name }) => name)));
      await this.#local.restore(snapshot.transforms, { elsewhere });
    }
    const reference = snapshot && {
      ...{ sequence: snapshot.sequence, shards: snapshot.shards, keyGroups: snapshot.keyGroups },
    };
    const opened = this.#shards.map((shard) =>
      shard.ask('opened', { kind: 'open', graph, snapshot: reference, timed: onStage !== undefined, now: now() }),
    );
    const changes = new Map<string, StateChange>();
    for (const [index, { reports, states, changes: ofShard }] of (await Promise.all(opened)).entries()) {
      for (const report of reports) this.#take(index, report);
      for (const change of ofShard) changes.set(JSON.stringify(change), change);
      if (index === 0) this.#jobStates.follow(states);
    }
    for (const change of changes.values()) onStateChange(change);
    this.#jobStates.announce();
    this.#local.jobStates.announce();
  }

  async setup(): Promise<void> {
    await this.#local.setup();
  }

  async runBundle(feed: () => void, now: number): Promise<void> {
    await this.#local.runBundle(feed, now);
    this.#local.jobStates.applyOwn();
    const callbacks = this.#local.takeCallbacks();
    await this.settle();
    for (const out of this.#local.exchangesOut) this.#depart(out.exchange, out.take(), 0, out.outputWatermark);
    this.#underWay = this.#runStages(now).then(() => {
      this.#callbacks.push(...callbacks);
    });
    // The caller of settle sees the failure.
    this.#underWay.catch(() => {});
    // A script continues only when all that follows from a step has happened.
    if (this.testStreams.length > 0) await this.settle();
  }

  settle(): Promise<void> {
    return this.#underWay;
  }

  async #runStages(now: number): Promise<void> {
    for (let stage = 1; stage < this.#options.stages.plans.length; stage += 1) {
      const changes = await Promise.all(this.#shards.map((shard, index) => this.#runStage(stage, shard, index, now)));
      this.#jobStates.apply(changes.flat());
    }
  }

  /** @returns the changes of job states */
  async #runStage(
    stage: number,
    shard: ShardHandle,
    index: number,
    now: number,
  ): Promise<readonly JobStateOf<unknown>[]> {
    let isDue = (this.#reports[stage]?.[index]?.nextProcessingTime ?? Number.POSITIVE_INFINITY) <= now;
    const deliveries = this.#options.stages.exchanges
      .filter(({ to }) => to === stage)
      .map(({ id }) => {
        const { chunks, watermarks } = this.#traffic[id] as Traffic;
        const own = chunks[index] as Uint8Array[];
        chunks[index] = [];
        const watermark = Math.min(...watermarks) as EventTime;
        const told = this.#told[id] as number[];
        if (own.length > 0 || watermark > (told[index] as number)) isDue = true;
        told[index] = watermark;
        return { exchange: id, chunks: own, watermark };
      });
    if (!isDue) return [];
    const buffers = deliveries.flatMap(({ chunks }) => chunks.map(({ buffer }) => buffer as ArrayBuffer));
    // What goes to every shard cannot be given away to one.
    const transfer = this.shards === 1 ? buffers : buffers.filter((buffer) => !this.#shared.has(buffer));
    const { departures, report, events } = await shard.ask(
      'bundle',
      { kind: 'bundle', stage, now, deliveries, states: this.#jobStates.values() },
      transfer,
    );
    this.#take(index, report);
    for (const { exchange, byShard } of departures) this.#depart(exchange, byShard, index);
    for (const transform of events.droppedLate) this.#options.onDroppedLate(transform);
    for (const [transform, seconds] of events.seconds) this.#options.onStage?.(transform, seconds);
    return events.changes;
  }

  readonly #shared = new WeakSet<ArrayBufferLike>();

  #depart(exchange: number, byShard: readonly (Uint8Array | undefined)[], from: number, watermark?: EventTime): void {
    const { chunks, watermarks } = this.#traffic[exchange] as Traffic;
    for (const [shard, bytes] of byShard.entries()) {
      if (bytes === undefined) continue;
      if (shard > 0 && bytes.buffer === byShard[0]?.buffer) this.#shared.add(bytes.buffer);
      chunks[shard]?.push(bytes);
    }
    if (watermark !== undefined) watermarks[from] = watermark;
  }

  #take(shard: number, report: StageReport): void {
    (this.#reports[report.stage] as StageReport[])[shard] = report;
    for (const [exchange, watermark] of report.exchanges) {
      (this.#traffic[exchange] as Traffic).watermarks[shard] = watermark;
    }
  }

  takeCallbacks(): readonly Callback[] {
    const callbacks = this.#callbacks;
    this.#callbacks = [];
    return callbacks;
  }

  nextProcessingTime(): number | undefined {
    const shards = this.#allReports().map((report) => report.nextProcessingTime);
    const times = [this.#local.nextProcessingTime(), ...shards];
    const known = times.filter((time) => time !== undefined);
    return known.length === 0 ? undefined : Math.min(...known);
  }

  watermark(): number {
    return Math.min(
      this.#local.watermark(),
      ...this.#allReports().flatMap(({ watermarks }) => [...watermarks.values()]),
    );
  }

  watermarks(): ReadonlyMap<string, number> {
    return this.#byTransform(({ watermarks }) => watermarks, this.#local.watermarks(), Math.min, MAX_EVENT_TIME);
  }

  elementCounts(): ReadonlyMap<string, number> {
    return this.#byTransform(
      ({ elements }) => elements,
      this.#local.elementCounts(),
      (a, b) => a + b,
      0,
    );
  }

  #byTransform(
    of: (report: StageReport) => ReadonlyMap<string, number>,
    local: ReadonlyMap<string, number>,
    merge: (a: number, b: number) => number,
    initial: number,
  ): ReadonlyMap<string, number> {
    const merged = new Map<string, number>();
    for (const values of [local, ...this.#allReports().map(of)]) {
      for (const [name, value] of values) {
        if (this.#options.transforms.has(name)) merged.set(name, merge(merged.get(name) ?? initial, value));
      }
    }
    return merged;
  }

  get metrics(): Executor['metrics'] {
    const groups = new Map<string, { readonly transform: string; readonly parts: SavedMetric[] }>();
    const local = this.#local.metrics.map(({ transform, metric }) => ({ transform, metric: saveMetric(metric) }));
    for (const { transform, metric } of [...local, ...this.#allReports().flatMap(({ metrics }) => metrics)]) {
      const id = `${transform}\u0000${metric.name}`;
      const group = groups.get(id) ?? { transform, parts: [] };
      group.parts.push(metric);
      groups.set(id, group);
    }
    return [...groups.values()].map(({ transform, parts }): { transform: string; metric: Metric } => ({
      transform,
      metric: mergeMetrics(parts),
    }));
  }

  #allReports(): readonly StageReport[] {
    return this.#reports.flat();
  }

  beginSnapshot(
    sequence: number,
    take: (transform: number, entry: unknown) => void,
    isDrained: boolean,
  ): readonly TransformSnapshot[] {
    const states = this.#jobStates.values();
    const written = this.#shards.map((shard) =>
      shard.ask('snapshot', { kind: 'snapshot', sequence, states, isDrained }),
    );
    const snapshots = Promise.all(written).then(() => {
      if (this.#snapshots === snapshots) this.#snapshots = undefined;
    });
    this.#snapshots = snapshots;
    snapshots.catch(() => {});
    return this.#local.beginSnapshot(take, isDrained);
  }

  /** The shards refer to their stores themselves. */
  readonly savedStore = undefined;
  /** The shards wait themselves. */
  readonly isPressed = false;

  besideSnapshot(): Promise<void> | undefined {
    return this.#snapshots;
  }

  endSnapshot(): void {
    this.#local.endSnapshot();
  }

  commitSnapshot(): void {
    for (const shard of this.#shards) shard.tell({ kind: 'commit' });
  }

  async teardown(): Promise<void> {
    await Promise.all(this.#shards.map((shard) => shard.close()));
    await this.#local.teardown();
  }
}
