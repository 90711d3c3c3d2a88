import Table from 'cli-table3';
import { withOffline } from '../parts/with_offline.ts';
import { entityKeysOf } from '../project/config/entity_option.ts';
import { loadProject } from '../project/project.ts';
import { timeOption } from '../terminal/options.ts';
import { printJsonArray } from '../terminal/print.ts';

export interface PredictionQuery {
  readonly limit: number;
  readonly model?: string;
  readonly entity?: string;
  readonly since?: string;
  readonly json: boolean;
}

/** `headwater predictions`: what was predicted, newest first. */
export async function listPredictions({ limit, model, entity, since, json }: PredictionQuery): Promise<void> {
  const sinceMs = timeOption('--since', since);
  const project = await loadProject();
  await withOffline(project, async (offline) => {
    const rows = await offline.predictions.list({
      limit,
      ...(model === undefined ? {} : { modelName: model }),
      ...(entity === undefined ? {} : { entityKeys: entityKeysOf(project.catalog, entity) }),
      ...(sinceMs === undefined ? {} : { sinceMs }),
    });
    if (json) {
      printJsonArray(rows);
      return;
    }
    const head = ['time', 'entity', 'model', 'prediction', 'probability', 'request', 'prediction id'];
    const table = new Table({ head, style: { head: [], border: [] } });
    for (const { predictedAtMs, entityKey, modelName, modelVersion, prediction, probabilities, ...ids } of rows) {
      table.push([
        new Date(predictedAtMs).toISOString(),
        entityKey ?? '',
        `${modelName} ${modelVersion}`,
        prediction,
        probabilities?.[prediction]?.toFixed(4) ?? '',
        ids.requestId,
        ids.predictionId,
      ]);
    }
    process.stdout.write(`${table.toString()}\n${rows.length} predictions\n`);
  });
}
