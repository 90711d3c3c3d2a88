import { resolve } from 'node:path';
import { verifyTrainingSet } from '#feature_store/retrieval/training_set';
import { trainXgboost } from '#registry/trainers/xgboost';

/** `headwater train`: XGBoost on a training set of this platform. */
export async function trainFraudDetector(options: { trainingSet: string; out: string }): Promise<void> {
  const trainingSet = resolve(options.trainingSet);
  const { rows, positives, service } = await verifyTrainingSet(trainingSet);
  process.stdout.write(`training set of ${service.service}: ${rows} rows, ${positives} positive\n`);
  await trainXgboost({
    trainingSet,
    out: resolve(options.out),
    ...(process.env.PYTHON === undefined ? {} : { python: process.env.PYTHON }),
    onLine: (line) => process.stdout.write(`${line}\n`),
  });
}
