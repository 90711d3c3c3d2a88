import type { GeneratorOptions } from '#examples/fraud/transaction_generator';
import { workerEntry } from '#kernel/workers/worker_entry';
import { runWorkerJob } from '#kernel/workers/worker_job';

/** Posts generated events [from, to) to the gateway. */
export interface IngestJob {
  readonly kind: 'ingest';
  readonly url: string;
  readonly generator: GeneratorOptions;
  readonly from: number;
  readonly to: number;
  /** Events in one POST /ingest/batch; 1 posts each to /ingest. */
  readonly batchSize: number;
  readonly connections: number;
  /** Events a second; undefined goes as fast as the answers come. */
  readonly ratePerSecond?: number | undefined;
}

export interface IngestResult {
  readonly accepted: number;
  readonly rejected: number;
  readonly duplicates: number;
  /** No answer, or one that is neither an acceptance nor a refusal. */
  readonly failed: number;
  readonly firstFailure: string | undefined;
  readonly elapsedMs: number;
}

/** Posts `bodies` to `path` round and round until the shared flag is set (or all once when `repeat` is false). */
export interface PredictJob {
  readonly kind: 'predict';
  readonly url: string;
  readonly path: string;
  readonly bodies: readonly string[];
  readonly connections: number;
  readonly repeat: boolean;
  /** One Int32: not 0 means stop. */
  readonly stop: SharedArrayBuffer;
}

export interface PredictResult {
  readonly requests: number;
  readonly predictions: number;
  readonly failed: number;
  readonly firstFailure: string | undefined;
  /** Answers by model version. */
  readonly versions: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly elapsedMs: number;
}

export interface TrafficProgress {
  readonly done: number;
  readonly failed: number;
}

/** The demo's clients run on a thread of their own, so that they do not slow the platform they measure. */
export function runTraffic<J extends IngestJob | PredictJob>(
  job: J,
  onProgress: (progress: TrafficProgress) => void = () => {},
): Promise<J extends IngestJob ? IngestResult : PredictResult> {
  return runWorkerJob(workerEntry(import.meta.url, './traffic_worker'), job, { onProgress });
}
