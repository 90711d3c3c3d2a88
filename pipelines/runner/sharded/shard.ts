import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Logger, silentLogger } from '#monitoring/log';
import { InvalidPipelineError } from '#pipelines/engine/errors';
import { Executor, type TransformSnapshot } from '#pipelines/engine/executor';
import { saveMetric } from '#pipelines/engine/metrics';
import type { Plan } from '#pipelines/engine/plan';
import { cutIntoStages } from '#pipelines/engine/stages';
import type { JobStateOf } from '#pipelines/engine/state/job_state';
import type { StateChange } from '#pipelines/engine/state/state_schema';
import { makeFolder } from '#storage/durable_files';
import { openWith } from '../open_with.ts';
import { loadPart, type SnapshotReference, shardFolder } from '../snapshot_parts.ts';
import { SnapshotStore, type SnapshotWriter } from '../snapshot_store.ts';
import type { DiskState } from '../state/disk_state.ts';
import { openableState } from '../state_options.ts';
import { failureOf } from './failures.ts';
import type { Delivery, FromShard, ShardSpec, StageReport, ToShard } from './messages.ts';

export interface ShardOptions extends ShardSpec {
  /** The whole plan, as the job's own thread has it. */
  readonly plan: Plan;
  readonly log?: Logger;
  readonly post: (message: FromShard, transfer: readonly ArrayBuffer[]) => void;
}

type Callback = () => void | Promise<void>;

/** What tells whether two threads have built the same plan. */
export const graphOf = ({ transforms }: Plan): string =>
  transforms.map(({ name, kind }) => `${kind} ${name}`).join('\n');

/** How long a snapshot may take between two pieces of other work. */
const SNAPSHOT_BUDGET_MS = 8;
/** One more than the job keeps: its newest may turn out unreadable. */
const KEPT_SNAPSHOTS = 3;

/** One share of the keys: runs the stages behind the sources for them, as the job's thread says. */
export class Shard {
  readonly #options: ShardOptions;
  readonly #log: Logger;
  readonly #executors: readonly Executor[];
  /** Names of the transforms of all stages. */
  readonly #transforms: ReadonlySet<string>;
  #changes: StateChange[] = [];
  readonly #store: SnapshotStore | undefined;
  readonly #disk: DiskState | undefined;
  #now = 0;
  #isTimed = false;
  #droppedLate: string[] = [];
  #seconds: [string, number][] = [];
  #work: Promise<void> = Promise.resolve();
  #writer: SnapshotWriter | undefined;
  /** To be called once the snapshot that is being taken is durable. */
  #callbacks: readonly Callback[] = [];

  constructor(options: ShardOptions) {
    const { plan, shard, shards, snapshotDirectory, strict, restore } = options;
    this.#options = options;
    this.#log = (options.log ?? silentLogger).child({ component: 'pipelines.shard', shard });
    const folder = snapshotDirectory === undefined ? undefined : shardFolder(snapshotDirectory, shard);
    this.#disk = openableState(options.state, folder);
    const { plans } = cutIntoStages(plan, shards);
    this.#transforms = new Set(plans.flatMap(({ transforms }) => transforms.map(({ name }) => name)));
    this.#executors = plans.slice(1).map(
      (stage) =>
        new Executor(stage, {
          strict,
          now: () => this.#now,
          onDroppedLate: (transform) => this.#droppedLate.push(transform),
          restorePolicy: restore,
          backend: this.#disk,
          onStateChange: (change) => this.#changes.push(change),
          onRetry: () => {},
          onStage: (transform, seconds) => {
            if (this.#isTimed) this.#seconds.push([transform, seconds]);
          },
        }),
    );
    this.#store = folder === undefined ? undefined : new SnapshotStore(folder, this.#log, KEPT_SNAPSHOTS);
  }

  /** Takes messages in the order they come. */
  receive(message: ToShard): void {
    this.#work = this.#work
      .then(() => this.#handle(message))
      .catch((error: unknown) => this.#options.post({ kind: 'failed', failure: failureOf(error) }, []));
  }

  async #handle(message: ToShard): Promise<void> {
    switch (message.kind) {
      case 'open':
        return this.#open(message);
      case 'bundle':
        this.#follow(message.states);
        return this.#bundle(message.stage, message.now, message.deliveries);
      case 'snapshot':
        this.#follow(message.states);
        this.#beginSnapshot(message.sequence, message.isDrained);
        return;
      case 'commit': {
        const callbacks = this.#callbacks;
        this.#callbacks = [];
        this.#run(callbacks);
        return;
      }
      case 'close': {
        await this.#writer?.abandon();
        for (const executor of this.#executors) await executor.teardown();
        await this.#disk?.close();
        this.#options.post({ kind: 'closed' }, []);
        return;
      }
    }
  }

  async #open({ graph, snapshot, timed, now }: Extract<ToShard, { kind: 'open' }>): Promise<void> {
    this.#now = now;
    if (graph !== graphOf(this.#options.plan)) {
      throw new InvalidPipelineError(
        `worker thread ${this.#options.shard} has built another graph than the job: a pipeline must come out the same each time it is built with the same options`,
      );
    }
    this.#isTimed = timed;
    const { shard, snapshotDirectory } = this.#options;
    if (snapshotDirectory !== undefined) await makeFolder(shardFolder(snapshotDirectory, shard));
    if (snapshot === undefined) await this.#disk?.open();
    else await this.#restore(snapshot);
    for (const executor of this.#executors) await executor.setup();
    const reports = this.#executors.map((_, index) => this.#report(index + 1));
    const states = this.#executors.flatMap(({ jobStates }) => jobStates.values());
    this.#options.post({ kind: 'opened', reports, states, changes: this.#changes }, []);
  }

  async #restore(snapshot: SnapshotReference): Promise<void> {
    const { shard, shards, snapshotDirectory = '' } = this.#options;
    const part = await loadPart(snapshotDirectory, this.#log, snapshot, [shard, shards], (saved) =>
      this.#executors.some((executor) => executor.changesKeys(saved)),
    );
    const transforms = await openWith(this.#disk, part, this.#executors);
    // What the pipeline has no more is found once: by the job in a file of its own, else by the first thread.
    const all = new Set([...this.#transforms, ...transforms.map(({ name }) => name)]);
    const looks = shard === 0 && snapshot.shards > 0;
    for (const [index, executor] of this.#executors.entries()) {
      const elsewhere = looks && index === 0 ? this.#transforms : all;
      await executor.restore(transforms, { share: part.share, elsewhere });
    }
  }

  #follow(states: readonly JobStateOf<unknown>[]): void {
    for (const { jobStates } of this.#executors) jobStates.follow(states);
  }

  async #bundle(stage: number, now: number, deliveries: readonly Delivery[]): Promise<void> {
    const executor = this.#executors[stage - 1] as Executor;
    this.#now = now;
    await executor.runBundle(() => {
      for (const { exchange, chunks, watermark } of deliveries) {
        const target = executor.exchangesIn.find((one) => one.exchange === exchange);
        for (const chunk of chunks) target?.deliver(chunk);
        target?.advanceTo(watermark);
      }
    }, now);
    // What it may not write yet would not fit.
    while (this.#disk?.isPressed === true && this.#writer !== undefined) await nextTurn();
    if (this.#store === undefined) this.#run(executor.takeCallbacks());
    const departures = executor.exchangesOut.map((out) => ({ exchange: out.exchange, byShard: out.take() }));
    const buffers = departures.flatMap(({ byShard }) =>
      byShard.map((bytes) => bytes?.buffer as ArrayBuffer | undefined),
    );
    const changes = executor.jobStates.takeChanges();
    const events = { droppedLate: this.#droppedLate, seconds: this.#seconds, changes };
    this.#droppedLate = [];
    this.#seconds = [];
    this.#options.post({ kind: 'bundle', departures, report: this.#report(stage), events }, distinct(buffers));
  }

  #report(stage: number): StageReport {
    const executor = this.#executors[stage - 1] as Executor;
    return {
      stage,
      isFinished: executor.isFinished,
      nextProcessingTime: executor.nextProcessingTime(),
      exchanges: executor.exchangesOut.map(({ exchange, outputWatermark }) => [exchange, outputWatermark] as const),
      watermarks: executor.watermarks(),
      elements: executor.elementCounts(),
      metrics: executor.metrics.map(({ transform, metric }) => ({ transform, metric: saveMetric(metric) })),
    };
  }

  /** Bundles continue beside it: what they change is handed over first. */
  #beginSnapshot(sequence: number, isDrained: boolean): void {
    const writer = (this.#store as SnapshotStore).begin(sequence);
    this.#writer = writer;
    this.#callbacks = [...this.#callbacks, ...this.#executors.flatMap((executor) => [...executor.takeCallbacks()])];
    this.#disk?.beginSnapshot();
    const transforms: TransformSnapshot[] = [];
    for (const executor of this.#executors) {
      const first = transforms.length;
      transforms.push(
        ...executor.beginSnapshot((transform, entry) => writer.take(first + transform, entry), isDrained),
      );
    }
    writer.start(transforms, 0);
    this.#stepSnapshot(writer);
  }

  #stepSnapshot(writer: SnapshotWriter): void {
    if (this.#writer !== writer) return;
    try {
      if (!writer.step(SNAPSHOT_BUDGET_MS)) {
        setImmediate(() => this.#stepSnapshot(writer));
        return;
      }
      for (const executor of this.#executors) executor.endSnapshot();
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#finishSnapshot(writer).then(
      () => {
        if (this.#writer === writer) this.#writer = undefined;
        this.#options.post({ kind: 'snapshot' }, []);
      },
      (error: unknown) => this.#fail(error),
    );
  }

  async #finishSnapshot(writer: SnapshotWriter): Promise<void> {
    const store = await this.#disk?.keep();
    if (store !== undefined) writer.takeStore(store);
    await writer.finish();
  }

  #fail(error: unknown): void {
    this.#options.post({ kind: 'failed', failure: failureOf(error) }, []);
  }

  #run(callbacks: readonly Callback[]): void {
    for (const callback of callbacks) {
      Promise.resolve()
        .then(callback)
        .catch((error: unknown) => this.#log.warn({ error }, 'bundle.callback_failed'));
    }
  }
}

const distinct = (buffers: readonly (ArrayBuffer | undefined)[]): ArrayBuffer[] => [
  ...new Set(buffers.filter((buffer) => buffer !== undefined)),
];
