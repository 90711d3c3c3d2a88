import { generateTransactions } from '#examples/fraud/transaction_generator';
import { messageOf } from '#kernel/errors';
import { serveWorkerJob } from '#kernel/workers/worker_job';
import { HttpClient } from './http_client.ts';
import type { IngestJob, IngestResult, PredictJob, PredictResult, TrafficProgress } from './traffic.ts';

const PROGRESS_INTERVAL_MS = 200;

type Report = (progress: TrafficProgress) => void;

serveWorkerJob<IngestJob | PredictJob, TrafficProgress, IngestResult | PredictResult>(async (job, report) =>
  job.kind === 'ingest' ? ingest(job, report) : predict(job, report),
);

interface BatchAnswer {
  readonly results: readonly { readonly status: string }[];
}

async function ingest(job: IngestJob, report: Report): Promise<IngestResult> {
  const bodies = generateTransactions(job.generator)
    .slice(job.from, job.to)
    .map((event) => event.body);
  const client = new HttpClient(job.url, job.connections);
  const counts = { accepted: 0, rejected: 0, duplicates: 0, failed: 0 };
  let firstFailure: string | undefined;
  const fail = (events: number, reason: string): void => {
    counts.failed += events;
    firstFailure ??= reason;
  };
  const count = (status: string): void => {
    if (status === 'accepted') counts.accepted += 1;
    else if (status === 'rejected') counts.rejected += 1;
    else if (status === 'duplicate') counts.duplicates += 1;
    else fail(1, `unknown status ${status}`);
  };
  const postOne = async (body: string): Promise<void> => {
    const answer = await client.send({ path: '/ingest', body });
    if (answer.status === 202 || answer.status === 200) {
      count((JSON.parse(answer.body) as { readonly status: string }).status);
    } else if (answer.status === 400) count('rejected');
    else fail(1, `POST /ingest answered ${answer.status}: ${answer.body.slice(0, 200)}`);
  };
  const postBatch = async (batch: readonly string[]): Promise<void> => {
    const body = batch.join('\n');
    const answer = await client.send({ path: '/ingest/batch', contentType: 'application/x-ndjson', body });
    if (answer.status >= 500 || answer.status === 404 || answer.status === 413) {
      fail(batch.length, `POST /ingest/batch answered ${answer.status}: ${answer.body.slice(0, 200)}`);
      return;
    }
    for (const { status } of (JSON.parse(answer.body) as BatchAnswer).results) count(status);
  };

  const startedMs = performance.now();
  let next = 0;
  let reportedMs = startedMs;
  const worker = async (): Promise<void> => {
    while (next < bodies.length) {
      const start = next;
      next += job.batchSize;
      if (job.ratePerSecond !== undefined) await waitUntil(startedMs + (start / job.ratePerSecond) * 1_000);
      const batch = bodies.slice(start, start + job.batchSize);
      try {
        await (job.batchSize === 1 ? postOne(batch[0] as string) : postBatch(batch));
      } catch (error) {
        fail(batch.length, messageOf(error));
      }
      if (performance.now() - reportedMs > PROGRESS_INTERVAL_MS) {
        reportedMs = performance.now();
        report({ done: Math.min(next, bodies.length), failed: counts.failed });
      }
    }
  };
  await Promise.all(Array.from({ length: job.connections }, worker));
  client.close();
  return { ...counts, firstFailure, elapsedMs: performance.now() - startedMs };
}

async function waitUntil(timeMs: number): Promise<void> {
  const leftMs = timeMs - performance.now();
  if (leftMs > 1) await new Promise((resolve) => setTimeout(resolve, leftMs));
}

interface PredictAnswer {
  readonly model_version: string | number;
  readonly predictions?: readonly unknown[];
}

async function predict(job: PredictJob, report: Report): Promise<PredictResult> {
  const client = new HttpClient(job.url, job.connections);
  const stop = new Int32Array(job.stop);
  const versions: Record<string, number> = {};
  const latenciesMs: number[] = [];
  let predictions = 0;
  let failed = 0;
  let firstFailure: string | undefined;
  let next = 0;
  const startedMs = performance.now();
  let reportedMs = startedMs;
  const worker = async (): Promise<void> => {
    while (Atomics.load(stop, 0) === 0 && (job.repeat || next < job.bodies.length)) {
      const body = job.bodies[next % job.bodies.length] as string;
      next += 1;
      const sentMs = performance.now();
      try {
        const answer = await client.send({ path: job.path, body });
        if (answer.status !== 200 && answer.status !== 202)
          throw new Error(`answered ${answer.status}: ${answer.body.slice(0, 200)}`);
        const parsed = JSON.parse(answer.body) as PredictAnswer;
        versions[parsed.model_version] = (versions[parsed.model_version] ?? 0) + 1;
        predictions += parsed.predictions?.length ?? 1;
      } catch (error) {
        failed += 1;
        firstFailure ??= `POST ${job.path} ${messageOf(error)}`;
      }
      latenciesMs.push(performance.now() - sentMs);
      if (performance.now() - reportedMs > PROGRESS_INTERVAL_MS) {
        reportedMs = performance.now();
        report({ done: latenciesMs.length, failed });
      }
    }
  };
  await Promise.all(Array.from({ length: job.connections }, worker));
  client.close();
  latenciesMs.sort((a, b) => a - b);
  const quantile = (q: number): number => latenciesMs[Math.floor(q * (latenciesMs.length - 1))] ?? Number.NaN;
  return {
    requests: latenciesMs.length,
    predictions,
    failed,
    firstFailure,
    versions,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    elapsedMs: performance.now() - startedMs,
  };
}
