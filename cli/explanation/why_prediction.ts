import Table from 'cli-table3';
import { isoTime } from '#kernel/time';
import { KeptVersions } from '#serving/explain/kept_versions';
import type { PredictionExplanation, UsedFeature } from '#serving/explain/prediction_explanation';
import { predictionJson } from '#serving/explain/prediction_json';
import { openRegistry } from '../parts/open_registry.ts';
import { withOffline } from '../parts/with_offline.ts';
import { loadProject } from '../project/project.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { print } from '../terminal/print.ts';
import { openPredictionExplainer } from './open_prediction_explainer.ts';

export interface WhyPredictionOptions {
  readonly row: number;
  readonly json: boolean;
}

/** `headwater why prediction ID`: why a logged prediction is what it is. */
export async function whyPrediction(id: string, { row, json }: WhyPredictionOptions): Promise<void> {
  const project = await loadProject();
  const registry = openRegistry(project);
  const versions = new KeptVersions(registry, { most: 1 });
  try {
    const explanation = await withOffline(project, (offline) =>
      openPredictionExplainer({ offline, registry, versions }, project)({ id, row }),
    );
    if (explanation === undefined)
      throw new CommandFailedError(
        `no prediction in the log has the id ${id} and row ${row}: headwater predictions list shows the newest`,
      );
    if (json) print(JSON.stringify(predictionJson(explanation)));
    else printExplanation(explanation);
  } finally {
    await versions.close();
    await registry.close();
  }
}

function printExplanation(explanation: PredictionExplanation): void {
  const { prediction, version, chosenBy, threshold, outcome, neighbours, problem } = explanation;
  const { modelName, modelVersion, predictedAtMs, entityKey, probabilities = {} } = prediction;
  const scores = Object.entries(probabilities).map(([name, value]) => `${name} ${value}`);
  print(
    `${modelName} ${modelVersion} answered ${prediction.prediction}${entityKey === undefined ? '' : ` for ${entityKey}`} at ${isoTime(predictedAtMs)}`,
  );
  print(
    `  answer      ${prediction.predictionId}, row ${prediction.rowIndex} of ${explanation.rows}; request ${prediction.requestId}`,
  );
  if (explanation.otherAnswers > 0)
    print(
      `              the id names ${explanation.otherAnswers} earlier answers as well: name this one by its own id`,
    );
  print(
    `  version     ${version === undefined ? 'not in the registry any more' : `${version.stage} now, run ${version.runId || 'unknown'}`}`,
  );
  print(`  chosen by   ${chosenBy.reason}`);
  if (chosenBy.rule !== undefined) print(`              ${JSON.stringify(chosenBy.rule)}`);
  if (chosenBy.change !== undefined)
    print(`              routing ${chosenBy.change.revision}, by ${chosenBy.change.by}: ${chosenBy.change.reason}`);
  if (scores.length > 0) print(`  outputs     ${scores.join(', ')}`);
  if (threshold !== undefined)
    print(
      `  threshold   ${threshold.value}${threshold.isAdaptive ? ', with the rules of the configuration of now' : ''}`,
    );
  print(`  recomputed  ${recomputedText(explanation)}`);
  if (outcome !== undefined)
    print(`  feedback    ${outcome.label ?? ''} ${outcome.value ?? ''} received ${isoTime(outcome.receivedAtMs)}`);
  const [output] = explanation.explanation?.outputs ?? [];
  if (output !== undefined && explanation.explanation !== undefined) {
    const { method, scale } = explanation.explanation;
    print(
      `  explained   ${output.output} ${output.value} (${scale.replace('_', ' ')}, ${method.replace('_', ' ')}), from ${output.base_value} without features`,
    );
  } else if (problem !== undefined) print(`  explained   not: ${problem}`);
  const features = [...explanation.features].sort((a, b) => weightOf(b) - weightOf(a));
  print(
    tableOf(
      ['feature', 'value', 'contribution', 'view', 'age', 'in the store'],
      features.map(({ name, value, contributions, from, stored }) => [
        ...[name, JSON.stringify(value ?? null), contributions?.[0]?.toPrecision(4) ?? '', from?.view ?? 'request'],
        stored === undefined ? '' : `${((predictedAtMs - stored.eventTimeMs) / 1_000).toFixed(1)} s`,
        stored === undefined
          ? ''
          : stored.isEqual
            ? 'equal'
            : `${JSON.stringify(stored.value)}${stored.computedAtMs > predictedAtMs ? ', written later' : ''}`,
      ]),
    ),
  );
  const linked = features.find(({ from }) => from !== undefined && !from.isOnDemand);
  if (entityKey !== undefined && linked?.from !== undefined)
    print(
      `why a feature has its value: headwater why value ${entityKey} ${linked.from.feature} --view ${linked.from.view} --at ${isoTime(predictedAtMs)}`,
    );
  if (neighbours.length > 0) {
    print(`${neighbours.length} other predictions of the entity, by time`);
    print(
      tableOf(
        ['time', 'prediction', 'version', 'variant', 'prediction id'],
        neighbours.map((row) => [
          ...[isoTime(row.predictedAtMs), row.prediction, String(row.modelVersion), row.variant ?? ''],
          row.predictionId,
        ]),
      ),
    );
  }
}

const weightOf = ({ contributions }: UsedFeature): number => Math.abs(contributions?.[0] ?? 0);

function recomputedText({ recomputed, difference }: PredictionExplanation): string {
  if (recomputed === undefined) return `not: ${difference}`;
  return difference === undefined ? 'equal to the last digit' : `different: ${difference}`;
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({ head: [...head], style: { head: [], border: [] } });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}
