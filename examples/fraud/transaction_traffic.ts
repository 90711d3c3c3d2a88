import { setTimeout as sleep } from 'node:timers/promises';
import type { GeneratedEvent } from './transaction_generator.ts';

/** What the gateway has made of events. */
export interface Ingested {
  readonly accepted: number;
  readonly rejected: number;
  readonly duplicates: number;
  /** No answer, or one that is neither an acceptance nor a refusal. */
  readonly failed: number;
  readonly firstFailure: string | undefined;
  readonly elapsedMs: number;
}

export interface Sending {
  /** Events in one POST /ingest/batch; 1 posts each to /ingest. */
  readonly batchSize: number;
  readonly connections: number;
  /** Events a second; undefined goes as fast as the answers come. */
  readonly ratePerSecond?: number;
  readonly onProgress: (done: number) => void;
}

/** Posts events to the gateway as a producer does, those that are no JSON included. */
export async function sendTransactions(
  url: string,
  events: readonly GeneratedEvent[],
  { batchSize, connections, ratePerSecond, onProgress }: Sending,
): Promise<Ingested> {
  const counts = { accepted: 0, rejected: 0, duplicate: 0, failed: 0 };
  let firstFailure: string | undefined;
  const post = async (batch: readonly GeneratedEvent[]): Promise<void> => {
    const [path, type] = batchSize === 1 ? ['/ingest', 'application/json'] : ['/ingest/batch', 'application/x-ndjson'];
    const body = batch.map((event) => event.body).join('\n');
    const answer = await fetch(`${url}${path}`, { method: 'POST', headers: { 'content-type': type }, body });
    if (batchSize === 1 && answer.status === 400) {
      await answer.text();
      counts.rejected += 1;
      return;
    }
    if (!answer.ok) throw new Error(`POST ${path} answered ${answer.status}: ${(await answer.text()).slice(0, 200)}`);
    const { results = [], status } = (await answer.json()) as {
      readonly status?: string;
      readonly results?: readonly { readonly status: string }[];
    };
    for (const became of status === undefined ? results.map((result) => result.status) : [status]) {
      counts[became as keyof typeof counts] += 1;
    }
  };

  const startedMs = performance.now();
  let next = 0;
  const connection = async (): Promise<void> => {
    while (next < events.length) {
      const start = next;
      next += batchSize;
      if (ratePerSecond !== undefined) {
        const leftMs = startedMs + (start / ratePerSecond) * 1_000 - performance.now();
        if (leftMs > 1) await sleep(leftMs);
      }
      const batch = events.slice(start, start + batchSize);
      await post(batch).catch((error: Error) => {
        counts.failed += batch.length;
        firstFailure ??= error.message;
      });
      onProgress(Math.min(next, events.length));
    }
  };
  await Promise.all(Array.from({ length: connections }, connection));
  const { duplicate: duplicates, ...others } = counts;
  return { ...others, duplicates, firstFailure, elapsedMs: performance.now() - startedMs };
}

/** What requests of predictions came to. */
export interface Predicted {
  readonly requests: number;
  readonly failed: number;
  readonly firstFailure: string | undefined;
  /** Answers by version of the model. */
  readonly versions: ReadonlyMap<number, number>;
  readonly latenciesMs: readonly number[];
}

/** Posts bodies to /predict round and round, on 8 connections, until `stop` is aborted. */
export async function requestPredictions(
  url: string,
  bodies: readonly string[],
  stop: AbortSignal,
  onAnswer: (version: number) => void,
): Promise<Predicted> {
  const versions = new Map<number, number>();
  const latenciesMs: number[] = [];
  let [next, failed] = [0, 0];
  let firstFailure: string | undefined;
  const connection = async (): Promise<void> => {
    while (!stop.aborted) {
      const body = bodies[next % bodies.length] as string;
      next += 1;
      const sentMs = performance.now();
      try {
        const answer = await fetch(`${url}/predict`, {
          ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body },
        });
        if (!answer.ok) throw new Error(`answered ${answer.status}: ${(await answer.text()).slice(0, 200)}`);
        const { model_version: text } = (await answer.json()) as { readonly model_version: string | number };
        const version = Number(text);
        versions.set(version, (versions.get(version) ?? 0) + 1);
        onAnswer(version);
      } catch (error) {
        failed += 1;
        firstFailure ??= `POST /predict ${(error as Error).message}`;
      }
      latenciesMs.push(performance.now() - sentMs);
    }
  };
  await Promise.all(Array.from({ length: 8 }, connection));
  return { requests: latenciesMs.length, failed, firstFailure, versions, latenciesMs };
}
