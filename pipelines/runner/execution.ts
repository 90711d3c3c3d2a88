import type { Executor, TransformSnapshot } from '#pipelines/engine/executor';
import type { LoadedSnapshot } from './snapshot_store.ts';

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
  /** Resolves when the shards' part of the newest snapshot is durable; undefined when it is. */
  shardSnapshots(): Promise<void> | undefined;
  /** The newest snapshot is durable everywhere. */
  commitSnapshot(): void;
}

/** One executor, on this thread. */
export class LocalExecution implements Execution {
  readonly shards = 0;
  readonly #executor: Executor;
  readonly #overlap: boolean;
  #now = 0;

  /** @param overlap - sinks may write while the next bundle is computed: where snapshots say what is done */
  constructor(executor: Executor, { overlap }: { readonly overlap: boolean }) {
    this.#executor = executor;
    this.#overlap = overlap;
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
    if (snapshot !== undefined) this.#executor.restore(snapshot.transforms);
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
    return this.#executor.beginSnapshot(take, isDrained);
  }
  shardSnapshots(): undefined {
    return undefined;
  }
  commitSnapshot(): void {}
  endSnapshot(): void {
    this.#executor.endSnapshot();
  }
  teardown(): Promise<void> {
    return this.#executor.teardown();
  }
}
