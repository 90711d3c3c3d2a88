import { workerEntry } from '#kernel/workers/worker_entry';
import { runWorkerJob } from '#kernel/workers/worker_job';

/** Posts each of `bodies` to `path` once. */
export interface PredictJob {
  readonly url: string;
  readonly path: string;
  readonly bodies: readonly string[];
  readonly connections: number;
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

/** The clients run on a thread of their own, so that they do not slow the process that reports. */
export const runTraffic = (job: PredictJob): Promise<PredictResult> =>
  runWorkerJob(workerEntry(import.meta.url, './predict_traffic_worker'), job);
