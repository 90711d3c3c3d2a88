import { join, resolve } from 'node:path';
import { verifyTrainingSet } from '#feature_store/retrieval/training_set';
import { messageOf } from '#kernel/errors';
import { trainXgboost } from '#registry/trainers/xgboost';
import { registerModel } from './models.ts';
import { loadPlatformConfig } from './platform_config.ts';
import { makeTrainingSet } from './training_set.ts';
import { UsageError } from './usage_error.ts';

/** What can be trained, and the feature service its columns are of. */
const TRAINABLE: Readonly<Record<string, { readonly service: string }>> = { fraud_detector: { service: 'fraud@1' } };

export interface TrainOptions {
  readonly trainingSet?: string;
  readonly labels?: string;
  readonly labelsFile?: string;
  readonly labelsQuery?: string;
  readonly from?: string;
  readonly to?: string;
  readonly out?: string;
  readonly register: boolean;
}

/** `headwater train`: a training set, if there is none yet; XGBoost on it; a new version in the registry, when told to. */
export async function trainModel(name: string, options: TrainOptions): Promise<void> {
  const trainable = TRAINABLE[name];
  if (trainable === undefined) {
    throw new UsageError(`${name} cannot be trained here; ${Object.keys(TRAINABLE).join(', ')} can`);
  }
  const out = resolve(options.out ?? join(loadPlatformConfig(process.env).dataDirectory, 'training', name));
  const trainingSet = resolve(options.trainingSet ?? join(out, 'training-set'));
  if (options.trainingSet === undefined) {
    await makeTrainingSet({ ...options, ...trainable, out: trainingSet, knownAtLabel: false, format: 'csv' });
  }
  const { rows, positives, service } = await verifyTrainingSet(trainingSet);
  process.stdout.write(`training set of ${service.service}: ${rows} rows, ${positives} positive\n`);
  await trainXgboost({
    trainingSet,
    out,
    ...(process.env.PYTHON === undefined ? {} : { python: process.env.PYTHON }),
    onLine: (line) => process.stdout.write(`${line}\n`),
  });
  if (!options.register) return;
  try {
    await registerModel(name, out, { description: `XGBoost on ${service.service}, ${rows} rows` });
  } catch (error) {
    // What took minutes to train is not lost because the registry is away.
    process.stderr.write(`it is trained, and not registered: headwater models register ${name} ${out}\n`);
    process.stderr.write(`${messageOf(error)}\n`);
    process.exitCode = 1;
  }
}
