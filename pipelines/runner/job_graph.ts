import { MAX_EVENT_TIME, MIN_EVENT_TIME } from '#kernel/time';
import { inputsOf, outputsOf, type Plan } from '#pipelines/engine/plan';
import { GLOBAL_WINDOW } from '#pipelines/engine/windowing/window';

/** A transform of a job that runs. */
export interface GraphTransform {
  readonly name: string;
  readonly kind: Plan['transforms'][number]['kind'];
  /** Transforms whose output it reads. */
  readonly inputs: readonly string[];
  /** Since the job began in this process. */
  readonly elementsOut: number;
  /** Over the last seconds. */
  readonly elementsOutPerSecond: number;
  /** Event time that it has passed, ISO 8601; null before the first and after the last event. */
  readonly watermark: string | null;
  /** Share of the last seconds, 0 to 1, in which its work at the end of bundles held up those before it: panes, timers, what a sink waits for. */
  readonly backPressure: number;
  /** Of its state in the newest snapshot's file; null before the first one, of state on disk and of other threads. */
  readonly stateBytes: number | null;
}

/** A snapshot that is durable. */
export interface SnapshotReport {
  /** ISO 8601. */
  readonly at: string;
  readonly durationMs: number;
  readonly bytes: number;
}

/** A job while it runs. */
export interface JobGraph {
  readonly state: string;
  readonly backlogRecords: number;
  readonly transforms: readonly GraphTransform[];
  readonly snapshots: number;
  readonly lastSnapshot: SnapshotReport | null;
}

interface Sample {
  readonly atMs: number;
  readonly counts: ReadonlyMap<string, number>;
  readonly seconds: ReadonlyMap<string, number>;
}

/** A rate is over at least so long, and at most twice as long, once the job runs for it. */
const WINDOW_MS = 5_000;
const NOTHING: Sample = { atMs: 0, counts: new Map(), seconds: new Map() };

/** Follows what transforms put out and how long they take, for rates over the last seconds. Times are monotonic, ms. */
export class GraphSampler {
  readonly #seconds = new Map<string, number>();
  #older: Sample;
  #newer: Sample;
  #stateBytes: ReadonlyMap<string, number> = new Map();
  #snapshots = 0;
  #lastSnapshot: SnapshotReport | null = null;

  constructor(nowMs: number) {
    this.#older = { ...NOTHING, atMs: nowMs };
    this.#newer = this.#older;
  }

  /** Counts time that a transform took at the end of a bundle. */
  addTime(transform: string, seconds: number): void {
    this.#seconds.set(transform, (this.#seconds.get(transform) ?? 0) + seconds);
  }

  /** Call after each bundle: takes a sample when one is due. */
  observe(nowMs: number, countsOf: () => ReadonlyMap<string, number>): void {
    if (nowMs - this.#newer.atMs < WINDOW_MS) return;
    this.#older = this.#newer;
    this.#newer = { atMs: nowMs, counts: new Map(countsOf()), seconds: new Map(this.#seconds) };
  }

  /** A snapshot is durable. */
  snapshotTaken(report: SnapshotReport, stateBytes: ReadonlyMap<string, number>): void {
    this.#snapshots += 1;
    this.#lastSnapshot = report;
    this.#stateBytes = stateBytes;
  }

  describe(
    plan: Plan,
    job: {
      readonly nowMs: number;
      readonly state: string;
      readonly backlogRecords: number;
      readonly counts: ReadonlyMap<string, number>;
      readonly watermarks: ReadonlyMap<string, number>;
    },
  ): JobGraph {
    const { nowMs, state, backlogRecords, counts, watermarks } = job;
    const producers = new Map<string, string>();
    for (const transform of plan.transforms)
      for (const output of outputsOf(transform)) producers.set(output, transform.name);
    const elapsedSeconds = Math.max((nowMs - this.#older.atMs) / 1_000, 0.001);
    // Counts begin again with a job that has restarted.
    const since = (now: number, before = 0): number => Math.max(0, now - before) / elapsedSeconds;
    const transforms = plan.transforms.map((transform): GraphTransform => {
      const { name, kind } = transform;
      const elementsOut = counts.get(name) ?? 0;
      const busy = since(this.#seconds.get(name) ?? 0, this.#older.seconds.get(name));
      return {
        ...{ name, kind, elementsOut },
        inputs: [...new Set(inputsOf(transform).flatMap((input) => producers.get(input) ?? []))],
        elementsOutPerSecond: since(elementsOut, this.#older.counts.get(name)),
        watermark: timeOf(watermarks.get(name)),
        backPressure: Math.min(1, busy),
        stateBytes: this.#stateBytes.get(name) ?? null,
      };
    });
    return { state, backlogRecords, transforms, snapshots: this.#snapshots, lastSnapshot: this.#lastSnapshot };
  }
}

const timeOf = (watermark: number | undefined): string | null =>
  watermark === undefined || watermark <= MIN_EVENT_TIME || watermark >= Math.min(MAX_EVENT_TIME, GLOBAL_WINDOW.end)
    ? null
    : new Date(watermark).toISOString();
