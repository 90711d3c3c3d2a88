import { expect, test } from '@jest/globals';
import { Random } from '#kernel/random';
import { RescoredAnswers } from '#serving/batch/rescored_answers';
import { LoadedModel } from '#serving/models/loaded_model';
import type { FeedbackRow } from '#serving/prediction_store/feedback_store';
import type { PredictionPage, PredictionRow } from '#serving/prediction_store/prediction_store';
import { keyOf } from '../../../support/entity_keys.ts';
import { tinyModel, tinyScore } from '../../../support/platforms/tiny_model.ts';

// Answers computed again with other values of a view's columns, beside the same arithmetic in plain TypeScript.

const START = Date.UTC(2026, 5, 1);
const ROWS = 2_300;
const BIAS = -3;

const scoreOf = (amount: number, count: number): number => Math.fround(tinyScore(BIAS, [amount, count, 0, 0.1]));
const answerOf = (score: number) => ({
  ...{ prediction: score >= 0.5 ? 'fraud' : 'legitimate', probabilities: { legitimate: 1 - score, fraud: score } },
});

const random = new Random(11);
const logged = Array.from({ length: ROWS }, (_, at): PredictionRow => {
  const features = { amount: random.integer(1, 400), count: random.integer(0, 9), weekend: false, category: 'a' };
  return {
    ...{ predictionId: `p${at}`, requestId: `r${at}`, rowIndex: 0, modelName: 'tiny', modelVersion: 1, features },
    ...{ entityKey: at % 7 === 0 ? undefined : keyOf(`e${at}`), predictedAtMs: START + at },
    ...answerOf(scoreOf(features.amount, features.count)),
  };
});
const outcomes = new Map(
  logged
    .filter((_, at) => at % 2 === 0)
    .map(({ predictionId }): [string, FeedbackRow] => [
      predictionId,
      { predictionId, rowIndex: 0, label: 'fraud', receivedAtMs: START },
    ]),
);
const stores = {
  predictions: {
    page: async ({ after, limit }: PredictionPage) => {
      const from = after === undefined ? 0 : logged.findIndex((row) => row.predictionId === after.predictionId) + 1;
      return logged.slice(from, from + limit);
    },
  },
  feedback: {
    read: async (of: readonly { readonly predictionId: string }[]) =>
      of.flatMap(({ predictionId }) => outcomes.get(predictionId) ?? []),
  },
};
const of = { modelName: 'tiny', sinceMs: START, untilMs: START + ROWS };
const judged = logged.filter((row) => row.entityKey !== undefined && outcomes.has(row.predictionId));

test('each answer with an entity and an outcome is computed with the values of both sides', async () => {
  const answers = await RescoredAnswers.read(stores, of, () => true);
  expect(answers.moments.map(({ timeMs }) => timeMs)).toEqual(judged.map((row) => row.predictedAtMs));
  for (const [at, moment] of answers.moments.entries()) {
    const { amount } = (judged[at] as PredictionRow).features as { amount: number };
    moment.read({ amount, unknown: 1 }, { amount: 401 - amount });
  }
  const model = await LoadedModel.load(tinyModel(BIAS), { isRepeatable: true });
  const found = await answers.score(model, ['amount'], []).finally(() => model.release());
  expect(found.refused).toBe(0);
  expect(found.answers.length).toBe(judged.length);
  let changed = 0;
  for (const [at, { logged: was, before, after, outcome }] of found.answers.entries()) {
    const { features, predictionId } = judged[at] as PredictionRow;
    const { amount, count } = features as { amount: number; count: number };
    expect(outcome.predictionId).toBe(predictionId);
    expect(before.prediction).toBe(was.prediction);
    const expected = answerOf(scoreOf(401 - amount, count));
    expect(after.prediction).toBe(expected.prediction);
    expect(after.probabilities?.fraud).toBeCloseTo(expected.probabilities.fraud, 5);
    if (after.prediction !== before.prediction) changed += 1;
  }
  expect(changed).toBeGreaterThan(100);
});

test('rows that lack a value which the model requires are counted; entities of other views are left out', async () => {
  const answers = await RescoredAnswers.read(stores, of, (key) => !key.endsWith('8'));
  const kept = judged.filter((row) => row.entityKey?.endsWith('8') === false);
  expect(answers.moments.length).toBe(kept.length);
  for (const [at, moment] of answers.moments.entries()) moment.read({ amount: 1 }, at < 5 ? undefined : { amount: 2 });
  const model = await LoadedModel.load(tinyModel(BIAS), { isRepeatable: true });
  const found = await answers.score(model, ['amount'], []).finally(() => model.release());
  expect(found).toMatchObject({ refused: 5, answers: { length: kept.length - 5 } });
});
