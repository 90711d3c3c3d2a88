import { expect, test } from '@jest/globals';
import { trainMlp } from '#registry/trainers/tfjs/train_mlp';
import type { TrainingTable } from '#registry/training_table';

/** Two informative columns, one of them a category, some values missing. */
function table(rows: number): TrainingTable {
  const list: (number | string | null)[][] = [];
  const labels: number[] = [];
  let state = 12_345;
  const random = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state / 2 ** 32;
  };
  for (let row = 0; row < rows; row += 1) {
    const amount = random() * 100;
    const category = random() < 0.3 ? 'risky' : 'plain';
    list.push([random() < 0.1 ? null : amount, category]);
    labels.push(amount > 80 || (category === 'risky' && amount > 50) ? 1 : 0);
  }
  return {
    featureService: { service: 'test@1' },
    columns: [
      { name: 'amount', type: 'double' },
      { name: 'category', type: 'string' },
    ],
    rows: list,
    labels,
  };
}

test('learns, exports ONNX that onnxruntime runs, and gives the same bytes for the same seed', async () => {
  const settings = { classes: ['no', 'yes'] as const, epochs: 4, seed: 3 };
  const first = await trainMlp(table(3_000), settings);
  expect(first.metrics.auc).toBeGreaterThan(0.85);
  expect(first.package.signature.inputs[1]?.categories).toEqual({
    plain: expect.any(Number),
    risky: expect.any(Number),
  });
  expect(first.package.examples.length).toBeGreaterThanOrEqual(8);
  const second = await trainMlp(table(3_000), settings);
  expect(Buffer.from(second.package.onnx).equals(Buffer.from(first.package.onnx))).toBe(true);
}, 60_000);

test('too little to learn from is said', async () => {
  await expect(trainMlp(table(100), { classes: ['no', 'yes'] })).rejects.toThrow(
    /100 rows with \d+ positives are too few/,
  );
});
