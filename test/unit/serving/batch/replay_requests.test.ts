import { expect, test } from '@jest/globals';
import { Random } from '#kernel/random';
import { replayRequests } from '#serving/batch/replay_requests';
import { LoadedModel } from '#serving/models/loaded_model';
import type { FeedbackRow } from '#serving/prediction_store/feedback_store';
import type { PredictionPage, PredictionRow } from '#serving/prediction_store/prediction_store';
import { keyOf } from '../../../support/entity_keys.ts';
import { tinyModel, tinyScore } from '../../../support/platforms/tiny_model.ts';

// Requests that one version has answered, answered again by another one, beside the same arithmetic in plain TypeScript.

const START = Date.UTC(2026, 5, 1);
const ROWS = 2_500;
const OLD = -5;
const NEW = -3;

const scoreOf = (bias: number, { features: { amount, count } }: Pick<PredictionRow, 'features'>): number =>
  Math.fround(tinyScore(bias, [amount as number, count as number, 0, 0.1]));
const answerOf = (score: number): string => (score >= 0.5 ? 'fraud' : 'legitimate');

const random = new Random(7);
const logged = Array.from({ length: ROWS }, (_, at): PredictionRow => {
  const features = { amount: random.integer(1, 3_000), count: random.integer(0, 9), weekend: false, category: 'a' };
  const score = scoreOf(OLD, { features });
  return {
    ...{
      predictionId: `p${at}`,
      requestId: `r${at}`,
      rowIndex: 0,
      modelName: 'tiny',
      modelVersion: at % 5 === 0 ? 2 : 1,
    },
    ...{ entityKey: keyOf(`e${at}`), features, prediction: answerOf(score), predictedAtMs: START + at },
    probabilities: { legitimate: 1 - score, fraud: score },
  };
});

function storesOf(rows: readonly PredictionRow[], outcomes: readonly FeedbackRow[] = []) {
  const pages: number[] = [];
  return {
    pages,
    predictions: {
      async page({ sinceMs, untilMs, after, limit }: PredictionPage) {
        const from =
          after === undefined ? 0 : rows.findIndex(({ predictionId }) => predictionId === after.predictionId) + 1;
        const page = rows
          .slice(from)
          .filter(({ predictedAtMs }) => predictedAtMs >= sinceMs && predictedAtMs < untilMs)
          .slice(0, limit);
        pages.push(page.length);
        return page;
      },
    },
    feedback: {
      read: async (of: readonly { readonly predictionId: string }[]) =>
        outcomes.filter(({ predictionId }) => of.some((row) => row.predictionId === predictionId)),
    },
  };
}

async function replay(stores: ReturnType<typeof storesOf>, query: object = {}) {
  const model = await LoadedModel.load(tinyModel(NEW), { isRepeatable: true });
  const of = { modelName: 'tiny', sinceMs: START, untilMs: START + ROWS, thresholds: [] };
  return replayRequests(stores, model, { ...of, ...query }).finally(() => model.release());
}

test('agreement, changes, distances and outcomes are those of the two versions in plain arithmetic', async () => {
  const outcomes = logged
    .filter((_, at) => at % 10 === 0)
    .map(({ predictionId }): FeedbackRow => ({ predictionId, rowIndex: 0, label: 'fraud', receivedAtMs: START }));
  const stores = storesOf(logged, outcomes);
  const found = await replay(stores);
  const both = logged.map((row) => ({ row, was: scoreOf(OLD, row), is: scoreOf(NEW, row) }));
  const agreeing = both.filter(({ was, is }) => answerOf(was) === answerOf(is)).length;
  expect(agreeing).toBeGreaterThan(0);
  expect(agreeing).toBeLessThan(ROWS);
  expect(found).toMatchObject({ rows: ROWS, agreeing });
  expect([...found.changes]).toEqual([['legitimate → fraud', ROWS - agreeing]]);
  expect([...found.answeredBy].sort()).toEqual([
    [1, ROWS * 0.8],
    [2, ROWS * 0.2],
  ]);
  const distances = both.map(({ was, is }) => Math.abs(is - was));
  expect(found.meanDistance).toBeCloseTo(distances.reduce((sum, each) => sum + each, 0) / ROWS, 5);
  expect(found.largest).toHaveLength(20);
  const sorted = [...distances].sort((a, b) => b - a);
  for (const [at, { distance }] of found.largest.entries()) expect(distance).toBeCloseTo(sorted[at] as number, 5);
  expect(found.judged).toHaveLength(outcomes.length);
  expect(found.judged.every(({ label }) => label === 'fraud')).toBe(true);
  expect(found.latency?.p95).toBeGreaterThanOrEqual(found.latency?.p50 as number);
  // Page by page, and no page twice.
  expect(stores.pages).toEqual([1_000, 1_000, 500, 0]);
});

test('times bound what is replayed; rows that the version does not take are counted by problem; thresholds move', async () => {
  const foreign = { ...(logged[0] as PredictionRow), features: { amount: 'much' } };
  const found = await replay(storesOf([foreign, ...logged.slice(1, 10)]), { untilMs: START + 5 });
  expect(found.rows).toBe(4);
  expect([...found.refused.values()]).toEqual([1]);
  expect([...found.refused.keys()][0]).toMatch(/^amount /);
  const strict = [{ feature: 'amount', atLeast: 0, add: 0.49 }];
  const moved = await replay(storesOf(logged.slice(0, 300)), { thresholds: strict });
  const same = logged
    .slice(0, 300)
    .filter((row) => row.prediction === (scoreOf(NEW, row) >= 0.99 ? 'fraud' : 'legitimate')).length;
  expect(moved.agreeing).toBe(same);
  expect(await replay(storesOf([]))).toMatchObject({ rows: 0, agreeing: 0, latency: undefined, meanDistance: 0 });
});
