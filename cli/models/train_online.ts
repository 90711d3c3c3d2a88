import type { TrainingSet } from '#feature_store/retrieval/training_set';
import type { CheckpointStore } from '#pipelines/transforms/online/checkpoint_store';
import { TrainingError } from '#registry/errors';
import { withExamples } from '#registry/evaluation/score';
import { writeModelFolder } from '#registry/model_folder';
import { linearPackage } from '#registry/trainers/online/linear_onnx';
import type { TrainingConfig } from '#registry/trainers/training_config';
import { heldOutFrom } from '#registry/training_table';
import { tableOf } from '../history/training_table.ts';

export interface OnlineTraining {
  readonly config: Extract<TrainingConfig, { readonly trainer: 'online' }>;
  readonly model: string;
  readonly newestCheckpoint: CheckpointStore['newest'];
  readonly set: Pick<TrainingSet, 'manifest' | 'rows'>;
  /** Folder that gets the model. */
  readonly out: string;
  readonly trials: number;
  readonly onLine: (line: string) => void;
}

/**
 * Writes the weights of a model's online learner as a model: the newest that have not learned from the rows which judge it.
 *
 * @throws {@link TrainingError} where the learner has no such weights yet, and for a search
 */
export async function trainOnline(run: OnlineTraining): Promise<void> {
  const { config, model, newestCheckpoint, set, out, trials, onLine } = run;
  if (trials > 0) throw new TrainingError('--search is for trainers that train; an online learner has learned already');
  const from = heldOutFrom(set.rows.length);
  const beforeMs = set.rows[from]?.eventTime;
  const before = beforeMs === undefined ? undefined : new Date(beforeMs).toISOString();
  const { service } = config;
  const checkpoint = beforeMs === undefined ? undefined : await newestCheckpoint({ model, service }, beforeMs);
  if (checkpoint === undefined) {
    throw new TrainingError(
      `the online learner of ${model} has no checkpoint from before ${before}, where the rows that judge it begin: it makes one each ${config.every} outcomes (training.every), in the role monitor`,
    );
  }
  const { weights, examples, loss } = checkpoint;
  onLine(`weights of ${examples} outcomes, mean loss ${loss.toPrecision(4)} on the newest ${config.every}`);
  const columns = new Set(config.columns ?? weights.columns.map(({ name }) => name));
  const bare = linearPackage({
    ...{ bias: weights.bias, classes: config.labels.feedback },
    columns: weights.columns.filter(({ name }) => columns.has(name)),
  });
  const table = tableOf(set);
  await writeModelFolder(out, await withExamples(bare, table, from, set.rows.length), {
    card: {
      metrics: { online_loss: loss },
      params: Object.fromEntries(
        Object.entries({ examples, ...config.params }).map(([name, value]) => [name, String(value)]),
      ),
    },
  });
}
