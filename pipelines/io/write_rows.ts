import pRetry from 'p-retry';
import type { Producer } from '#connectors/connector';
import type { DeadLetter } from '#connectors/dead_letters';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import { PlatformError } from '#kernel/errors';
import type { Logger } from '#monitoring/log';
import type { DoFn, FinishBundleContext, ProcessContext } from '#pipelines/engine/dofn';
import type { ComputedRow } from '#pipelines/transforms/compute_features';
import type { FeatureMetrics } from '#pipelines/transforms/feature_metrics';

export interface RetrySettings {
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /** After so long the bundle fails, and is done again from the newest snapshot. */
  readonly giveUpAfterMs: number;
}

export const DEFAULT_RETRY: RetrySettings = { firstDelayMs: 50, longestDelayMs: 10_000, giveUpAfterMs: 600_000 };

/** Tries again with jittered, doubling delays as long as the error says it may help: outages are waited out. */
export function withRetry<T>(what: string, log: Logger, settings: RetrySettings, task: () => Promise<T>): Promise<T> {
  return pRetry(task, {
    retries: Number.POSITIVE_INFINITY,
    minTimeout: settings.firstDelayMs,
    maxTimeout: settings.longestDelayMs,
    maxRetryTime: settings.giveUpAfterMs,
    factor: 2,
    randomize: true,
    shouldRetry: ({ error }) => !(error instanceof PlatformError) || error.retryable,
    onFailedAttempt: ({ error, attemptNumber }) => log.warn({ error, attemptNumber, what }, 'sink.retrying'),
  });
}

interface RowSinkDeps {
  readonly online: OnlineStore;
  readonly offline: OfflineStore;
  readonly events: Producer;
  readonly featureEventsTopic: string;
  readonly metrics: FeatureMetrics;
  readonly log: Logger;
}

/**
 * Writes a bundle's rows to both stores and to the feature-events topic, side by side. The bundle commits only when all of it is durable;
 * repeating it changes nothing in the stores, and may repeat records of the topic (whose readers know them by entity and time).
 */
export class WriteRows implements DoFn<ComputedRow, never> {
  readonly #deps: RowSinkDeps;
  #buffer: ComputedRow[] = [];

  constructor(deps: RowSinkDeps) {
    this.#deps = deps;
  }

  startBundle(): void {
    this.#buffer = [];
  }

  process(element: ComputedRow, _context: ProcessContext<never>): void {
    this.#buffer.push(element);
  }

  async finishBundle(context: FinishBundleContext<never>): Promise<void> {
    const batch = this.#buffer;
    this.#buffer = [];
    if (batch.length === 0) return;
    const { online, offline, events, featureEventsTopic, metrics, log } = this.#deps;
    const rows = batch.map(({ row }) => row);
    await Promise.all([
      withRetry('online store', log, DEFAULT_RETRY, () => online.write(rows)),
      withRetry('offline store', log, DEFAULT_RETRY, () => offline.write(rows)),
      withRetry('feature events', log, DEFAULT_RETRY, () =>
        events.send(
          featureEventsTopic,
          rows.map((row) => ({ key: row.entityKey, value: JSON.stringify(row) })),
        ),
      ),
    ]);
    const nowMs = context.clock.now();
    for (const { receivedAtMs } of batch) {
      if (receivedAtMs === undefined) continue;
      metrics.endToEndSeconds.observe((nowMs - receivedAtMs) / 1_000);
      metrics.onEndToEnd(nowMs - receivedAtMs);
    }
  }
}

/** Writes dead letters to their topic before the bundle commits. */
export class WriteDeadLetters implements DoFn<DeadLetter, never> {
  readonly #deps: { readonly producer: Producer; readonly topic: string; readonly log: Logger };
  #buffer: DeadLetter[] = [];

  constructor(deps: { readonly producer: Producer; readonly topic: string; readonly log: Logger }) {
    this.#deps = deps;
  }

  startBundle(): void {
    this.#buffer = [];
  }

  process(element: DeadLetter): void {
    this.#buffer.push(element);
  }

  async finishBundle(): Promise<void> {
    const records = this.#buffer.map((letter) => ({ value: JSON.stringify(letter) }));
    this.#buffer = [];
    if (records.length === 0) return;
    const { producer, topic, log } = this.#deps;
    await withRetry('dead letters', log, DEFAULT_RETRY, () => producer.send(topic, records));
  }
}
