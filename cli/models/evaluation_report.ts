import { writeFile } from 'node:fs/promises';
import type { Evaluation } from '#registry/evaluation/evaluate_model';
import { evaluationReport } from '#registry/evaluation/report';
import type { ModelFolder } from '#registry/model_folder';

export async function writeReport(
  file: string,
  model: string,
  folder: Pick<ModelFolder, 'package' | 'params'>,
  evaluation: Evaluation,
  judgedOn: string,
): Promise<void> {
  const { task } = folder.package.signature;
  await writeFile(file, await evaluationReport(evaluation, { model, task, params: folder.params, judgedOn }));
}

export const describeMetrics = (metrics: Evaluation['metrics']): string =>
  Object.entries(metrics)
    .map(([metric, value]) => `${metric} ${Number(value.toPrecision(4))}`)
    .join(', ');
