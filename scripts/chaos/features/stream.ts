import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LogRecord } from '#connectors/connector';
import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, replaces } from '#feature_store/definitions/values/feature_row';
import { MIN_EVENT_TIME, MINUTE_MS, processingTime } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import type { DoFn } from '#pipelines/engine/dofn';
import { Executor } from '#pipelines/engine/executor';
import type { Plan, PlanTransform, TestStreamEvent } from '#pipelines/engine/plan';
import { createEventDecoder } from '#pipelines/events/decode_events';
import { SnapshotStore } from '#pipelines/runner/snapshot_store';
import { takeOverState } from '#pipelines/runner/take_over';
import {
  type ComputedRow,
  ComputeFeatures,
  DEAD,
  mergeOfFeatures,
  SplitInvalid,
} from '#pipelines/transforms/compute_features';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { KeyByEntity } from '#pipelines/transforms/key_by_entity';
import { ALLOWED_LATENESS_MS } from './sequence.ts';

/** A record of the topic. */
export interface SentEvent {
  readonly body: string;
  readonly arrivedAtMs: number;
}

export interface WrittenRow extends FeatureRow {
  /** {@link Stream.writer} when it came. */
  readonly writtenBy: number;
}

const OUT_OF_ORDER_MS = MINUTE_MS;
const STEP_MS = 50;
const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));

/** One life of a job: the transforms of the feature pipeline between its source and its sinks, driven bundle by bundle. */
class Life {
  readonly #executor: Executor;
  readonly #script: TestStreamEvent[] = [];
  readonly #decode: ReturnType<typeof createEventDecoder>;
  #watermark = Number.NEGATIVE_INFINITY;
  nowMs = 0;

  constructor(
    views: readonly FeatureView[],
    isLive: boolean,
    write: (row: FeatureRow) => void,
    refuse: (letter: DeadLetter) => void,
  ) {
    const clock = { now: () => processingTime(this.nowMs) };
    const [{ sources }] = views as readonly [FeatureView];
    this.#decode = createEventDecoder(sources, clock);
    const parDo = (name: string, doFn: DoFn<never, unknown>, input: string, main: string): PlanTransform => ({
      ...{ kind: 'parDo', name, doFn, input, main, tagged: { [DEAD.id]: 'dead' }, sideInputs: [] },
      allowedLatenessMs: 0,
    });
    const sink: DoFn<ComputedRow, never> = { process: ({ row }) => write(row) };
    const letters: DoFn<DeadLetter, never> = { process: (letter) => refuse(letter) };
    const transforms: PlanTransform[] = [
      { kind: 'testStream', name: 'Read', output: 'decoded', events: this.#script },
      parDo(
        'SplitInvalid',
        new SplitInvalid(metrics, { allowedLatenessMs: ALLOWED_LATENESS_MS }) as never,
        'decoded',
        'valid',
      ),
    ];
    const settings = { allowedLatenessMs: ALLOWED_LATENESS_MS, isLive };
    const names = sources.map(({ name }) => name);
    for (const [index, view] of views.entries()) {
      const before = views.slice(0, index).map(({ entity }) => entity);
      const reportedBy = new Map(names.map((name) => [name, before]));
      const compute = new ComputeFeatures(view, { metrics, log: silentLogger }, { ...settings, reportedBy });
      transforms.push(
        parDo(
          `Key ${view.view}`,
          new KeyByEntity(view, new Set(index === 0 ? names : []), metrics) as never,
          'valid',
          `keyed ${view.view}`,
        ),
        parDo(computeName(view), compute as never, `keyed ${view.view}`, 'rows'),
      );
    }
    transforms.push(
      { ...parDo('WriteRows', sink as never, 'rows', 'none'), tagged: {} } as PlanTransform,
      { ...parDo('WriteDeadLetters', letters as never, 'dead', 'none'), tagged: {} } as PlanTransform,
    );
    const plan: Plan = { transforms, codecs: new Map() };
    this.#executor = new Executor(plan, {
      ...{ now: () => this.nowMs, onDroppedLate() {}, onRetry() {}, restorePolicy: { removed: 'drop' } },
    });
  }

  async restore(directory: string): Promise<void> {
    const snapshot = await new SnapshotStore(directory, silentLogger).load();
    // What has been read is the sequence's own; the script of a life begins anew.
    const kept = snapshot?.transforms.filter(({ schema }) => schema.operator !== 'testStream');
    if (kept !== undefined) await this.#executor.restore(kept);
    await this.#executor.setup();
  }

  async read(events: readonly SentEvent[], from: number): Promise<void> {
    const elements = events.map(({ body, arrivedAtMs }, index) => {
      const record: LogRecord = {
        ...{ key: undefined, value: Buffer.from(body), headers: {}, timestampMs: arrivedAtMs, partition: '0' },
        offset: BigInt(from + index),
      };
      const { element, eventTimeMs = this.nowMs } = this.#decode(record, MIN_EVENT_TIME, 'raw-events');
      return { value: element, timestamp: eventTimeMs };
    });
    await this.#step({ kind: 'elements', elements });
    await this.advanceTo(Math.max(...elements.map(({ timestamp }) => timestamp)) - OUT_OF_ORDER_MS);
  }

  async advanceTo(watermark: number): Promise<void> {
    if (watermark <= this.#watermark) return;
    this.#watermark = watermark;
    await this.#step({ kind: 'watermark', to: watermark });
  }

  async #step(event: TestStreamEvent): Promise<void> {
    this.#script.push(event);
    await this.#executor.runBundle(() => this.#executor.testStreams[0]?.step(), this.nowMs);
  }

  /** Fires what is due by the job's clock. */
  async idle(): Promise<void> {
    await this.#executor.runBundle(() => {}, this.nowMs);
  }

  async snapshot(directory: string): Promise<void> {
    const store = new SnapshotStore(directory, silentLogger);
    await store.load();
    const writer = store.begin();
    writer.start(
      this.#executor.beginSnapshot((transform, entry) => writer.take(transform, entry)),
      0,
    );
    const callbacks = this.#executor.takeCallbacks();
    while (!writer.step(STEP_MS));
    this.#executor.endSnapshot();
    await writer.finish();
    for (const callback of callbacks) await callback();
  }
}

const computeName = ({ view, version }: FeatureView): string => `Compute ${view}@${version}`;

/** A stream with its topic, its snapshots and what its stores hold: what a sequence of changes is done to. */
export class Stream {
  readonly topic: SentEvent[] = [];
  /** The newest row of each view and entity, as an online store keeps it. */
  readonly online = new Map<string, WrittenRow>();
  /** The rows of each view and entity by time, as an offline store keeps them. */
  readonly offline = new Map<string, Map<number, WrittenRow>>();
  readonly letters: DeadLetter[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'chaos-features-'));
  #views: readonly FeatureView[];
  #life: Life;
  /** Events of the topic that the job has read. */
  #read = 0;
  #readAtSnapshot = 0;
  #backfills = 0;
  #watermark = Number.NEGATIVE_INFINITY;
  nowMs: number;
  /** Stamped on rows. */
  writer = 0;

  private constructor(views: readonly FeatureView[], nowMs: number) {
    this.#views = views;
    this.nowMs = nowMs;
    this.#life = this.#begin(views, true);
  }

  static async start(views: readonly FeatureView[], nowMs: number): Promise<Stream> {
    const stream = new Stream(views, nowMs);
    await stream.#life.restore(stream.#snapshots);
    await stream.snapshot();
    return stream;
  }

  get #snapshots(): string {
    return join(this.#folder, 'snapshots');
  }

  #begin(views: readonly FeatureView[], isLive: boolean, writes = true): Life {
    const life = new Life(
      views,
      isLive,
      (row) => {
        if (writes) this.#write(row);
      },
      (letter) => this.letters.push(letter),
    );
    life.nowMs = this.nowMs;
    return life;
  }

  #write(row: FeatureRow): void {
    const key = rowKey(row.view, row.entityKey);
    const written = { ...row, writtenBy: this.writer };
    const held = this.online.get(key);
    if (held === undefined || replaces(row, held)) this.online.set(key, written);
    const rows = this.offline.get(key) ?? new Map<number, WrittenRow>();
    this.offline.set(key, rows.set(row.eventTime, written));
  }

  async send(events: readonly SentEvent[]): Promise<void> {
    this.topic.push(...events);
    await this.#catchUp();
  }

  async #catchUp(): Promise<void> {
    this.#life.nowMs = this.nowMs;
    // Processing time lets what is due fire before what comes next.
    if (this.#read < this.topic.length) await this.#life.read(this.topic.slice(this.#read), this.#read);
    this.#read = this.topic.length;
    await this.#life.advanceTo(this.#watermark);
    await this.#life.idle();
  }

  /** As on a partition that has been read to its end. */
  async passTime(ms: number): Promise<void> {
    this.nowMs += ms;
    this.#watermark = this.nowMs - OUT_OF_ORDER_MS;
    await this.#catchUp();
  }

  async snapshot(): Promise<void> {
    await this.#life.snapshot(this.#snapshots);
    this.#readAtSnapshot = this.#read;
  }

  async restart(views: readonly FeatureView[], isKilled: boolean): Promise<void> {
    if (!isKilled) await this.snapshot();
    this.#views = views;
    this.#life = this.#begin(views, true);
    await this.#life.restore(this.#snapshots);
    this.#read = this.#readAtSnapshot;
    await this.#catchUp();
  }

  /** Computes a view from the whole topic in a job of its own, and gives its state to the stream, or that of some features. */
  async handOver(
    view: FeatureView,
    { kills, only }: { readonly kills?: number | undefined; readonly only?: readonly string[] | undefined },
  ): Promise<void> {
    await this.snapshot();
    this.#backfills += 1;
    const directory = join(this.#folder, `backfill-${this.#backfills}`);
    // Rows of history get some features by a merge in the store, which other tests look at: here the state counts.
    const begin = (): Life => this.#begin([view], false, only === undefined);
    let job = begin();
    await job.restore(directory);
    const events = this.topic.slice(0, this.#read);
    const until = kills === undefined ? 0 : Math.min(kills, events.length);
    if (kills !== undefined) {
      if (until > 0) await job.read(events.slice(0, until), 0);
      await job.snapshot(directory);
      if (events.length > until) await job.read(events.slice(until), until);
      job = begin();
      await job.restore(directory);
    }
    if (events.length > until) await job.read(events.slice(until), until);
    await job.snapshot(directory);
    await takeOverState(
      { into: this.#snapshots, from: directory },
      [computeName(view)],
      silentLogger,
      { eventTimer: 'wake', processingTimer: 'quiet', atMs: this.nowMs },
      new Map(only === undefined ? [] : [[computeName(view), mergeOfFeatures(view, only, ALLOWED_LATENESS_MS)]]),
    );
    this.#life = this.#begin(this.#views, true);
    await this.#life.restore(this.#snapshots);
    await this.#catchUp();
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export const rowKey = (view: string, entityKey: EntityKey): string => `${view} ${entityKey}`;
