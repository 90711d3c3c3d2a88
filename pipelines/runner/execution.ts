import type { Executor, TransformSnapshot } from '#pipelines/engine/executor';
import { openWith } from './open_with.ts';
import type { LoadedSnapshot } from './snapshot_store.ts';
import type { DiskState, SavedStore } from './state/disk_state.ts';

type Same =
  | 'sources'
  | 'testStreams'
  | 'isImpulsePending'
  | 'isFinished'
  | 'runBundle'
  | 'takeCallbacks'
  | 'nextProcessingTime'
  | 'watermark'
  | 'watermarks'
  | 'elementCounts'
  | 'metrics'
  | 'endSnapshot'
  | 'teardown';

/** What a job drives bundle by bundle: one executor on its thread, or with it several on threads of their own. */
export interface Execution extends Pick<Executor, Same> {
  /** Threads beside this one. */
  readonly shards: number;
  /**
   * Takes over the state of the snapshot to resume from.
   *
   * @param snapshot - whole where there are no threads beside this one; otherwise each thread reads its part
   * @throws SnapshotError naming what does not fit
   */
  restore(snapshot?: LoadedSnapshot): Promise<void>;
  /** Opens what transforms work with; after {@link restore}. */
  setup(): Promise<void>;
  /** Resolves when the bundles so far are through all stages. Rejects when one has failed. */
  settle(): Promise<void>;
  /** Call when settled. The shards write theirs at the same point, each to its own file. */
  beginSnapshot(
    sequence: number,
    take: (transform: number, entry: unknown) => void,
    isDrained: boolean,
  ): readonly TransformSnapshot[];
  /** Resolves when what lies beside the snapshot's own file is durable: the shards' parts, the store of state on disk. Undefined when it is. @throws what made it fail */
  besideSnapshot(): Promise<void> | undefined;
  /** What the snapshot's file has to refer to, once {@link besideSnapshot} is durable. */
  readonly savedStore: SavedStore | undefined;
  /** More is in memory than was allowed, until the snapshot under way is taken. */
  readonly isPressed: boolean;
  /** The newest snapshot is durable everywhere. */
  commitSnapshot(): void;
}

/** One executor, on this thread. */
export class LocalExecution implements Execution {
  readonly shards = 0;
  readonly #executor: Executor;
  readonly #overlap: boolean;
  #now = 0;

  readonly #disk: DiskState | undefined;
  #keeping: Promise<void> | undefined;
  #keepingFailed: unknown;
  savedStore: SavedStore | undefined;

  /**
   * @param overlap - sinks may write while the next bundle is computed: where snapshots say what is done
   * @param disk - the executor's backend, where that is on disk
   */
  constructor(
    executor: Executor,
    { overlap, disk }: { readonly overlap: boolean; readonly disk?: DiskState | undefined },
  ) {
    this.#executor = executor;
    this.#overlap = overlap;
    this.#disk = disk;
  }

  get sources(): Executor['sources'] {
    return this.#executor.sources;
  }
  get testStreams(): Executor['testStreams'] {
    return this.#executor.testStreams;
  }
  get metrics(): Executor['metrics'] {
    return this.#executor.metrics;
  }
  get isImpulsePending(): boolean {
    return this.#executor.isImpulsePending;
  }
  get isFinished(): boolean {
    return this.#executor.isFinished;
  }
  async restore(snapshot?: LoadedSnapshot): Promise<void> {
    const transforms = await openWith(this.#disk, snapshot, [this.#executor]);
    // Without a snapshot nothing has changed since one.
    if (snapshot !== undefined) await this.#executor.restore(transforms);
    this.#executor.jobStates.announce();
  }
  setup(): Promise<void> {
    return this.#executor.setup();
  }
  async runBundle(feed: () => void, now: number): Promise<void> {
    this.#now = now;
    await this.#executor.runBundle(feed, now, this.#overlap);
    this.#executor.jobStates.applyOwn();
  }
  async settle(): Promise<void> {
    await this.#executor.complete(this.#now);
    this.#executor.jobStates.applyOwn();
  }
  takeCallbacks(): ReturnType<Executor['takeCallbacks']> {
    return this.#executor.takeCallbacks();
  }
  nextProcessingTime(): number | undefined {
    return this.#executor.nextProcessingTime();
  }
  watermark(): number {
    return this.#executor.watermark();
  }
  watermarks(): ReadonlyMap<string, number> {
    return this.#executor.watermarks();
  }
  elementCounts(): ReadonlyMap<string, number> {
    return this.#executor.elementCounts();
  }
  beginSnapshot(
    _: number,
    take: (transform: number, entry: unknown) => void,
    isDrained: boolean,
  ): readonly TransformSnapshot[] {
    this.#disk?.beginSnapshot();
    return this.#executor.beginSnapshot(take, isDrained);
  }
  besideSnapshot(): Promise<void> | undefined {
    if (this.#keepingFailed !== undefined) throw this.#keepingFailed;
    return this.#keeping;
  }
  get isPressed(): boolean {
    return this.#disk?.isPressed === true;
  }
  commitSnapshot(): void {}
  endSnapshot(): void {
    this.#executor.endSnapshot();
    if (this.#disk !== undefined) this.#keeping = this.#keep(this.#disk);
  }
  async #keep(disk: DiskState): Promise<void> {
    try {
      this.savedStore = await disk.keep();
    } catch (error) {
      this.#keepingFailed = error;
    }
    this.#keeping = undefined;
  }
  async teardown(): Promise<void> {
    await this.#executor.teardown();
    await this.#keeping;
    await this.#disk?.close();
  }
}
