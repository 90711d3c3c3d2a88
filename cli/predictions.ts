import Table from 'cli-table3';
import { createOfflineStore } from '#feature_store/config';
import { startAll } from '#kernel/lifecycle';
import { createLogger } from '#monitoring/log';
import { loadPlatformConfig } from './platform_config.ts';
import { UsageError } from './usage_error.ts';

export interface PredictionQuery {
  readonly limit: number;
  readonly model?: string;
  readonly entity?: string;
  readonly since?: string;
  readonly json: boolean;
}

/** `headwater predictions`: what was predicted, newest first. */
export async function listPredictions({ limit, model, entity, since, json }: PredictionQuery): Promise<void> {
  const sinceMs = since === undefined ? undefined : Date.parse(since);
  if (Number.isNaN(sinceMs)) throw new UsageError(`--since is a time such as 2026-11-21T08:00:00Z, not "${since}"`);
  const offline = createOfflineStore(
    { log: createLogger({ level: 'error' }) },
    loadPlatformConfig(process.env).offlineStore,
  );
  const services = await startAll([offline], new AbortController().signal);
  try {
    const rows = await offline.listPredictions({
      limit,
      ...(model === undefined ? {} : { modelName: model }),
      ...(entity === undefined ? {} : { entityKey: entity }),
      ...(sinceMs === undefined ? {} : { sinceMs }),
    });
    if (json) {
      for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`);
      return;
    }
    const head = ['time', 'entity', 'model', 'prediction', 'probability', 'request'];
    const table = new Table({ head, style: { head: [], border: [] } });
    for (const { predictedAtMs, entityKey, modelName, modelVersion, prediction, probabilities, requestId } of rows) {
      table.push([
        new Date(predictedAtMs).toISOString(),
        entityKey ?? '',
        `${modelName} ${modelVersion}`,
        prediction,
        probabilities?.[prediction]?.toFixed(4) ?? '',
        requestId,
      ]);
    }
    process.stdout.write(`${table.toString()}\n${rows.length} predictions\n`);
  } finally {
    await services[Symbol.asyncDispose]();
  }
}
