import { messageOf } from '#kernel/errors';
import { serveWorkerJob } from '#kernel/workers/worker_job';
import { HttpClient } from './http_client.ts';
import type { PredictJob, PredictResult } from './predict_traffic.ts';

serveWorkerJob<PredictJob, never, PredictResult>(predict);

interface PredictAnswer {
  readonly model_version: string | number;
  readonly predictions?: readonly unknown[];
}

async function predict(job: PredictJob): Promise<PredictResult> {
  const client = new HttpClient(job.url, job.connections);
  const versions: Record<string, number> = {};
  const latenciesMs: number[] = [];
  let predictions = 0;
  let failed = 0;
  let firstFailure: string | undefined;
  let next = 0;
  const startedMs = performance.now();
  const worker = async (): Promise<void> => {
    while (next < job.bodies.length) {
      const body = job.bodies[next] as string;
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
