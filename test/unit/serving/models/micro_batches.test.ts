import { expect, test } from '@jest/globals';
import { Random } from '#kernel/random';
import { LoadedModel } from '#serving/models/loaded_model';
import { MicroBatcher } from '#serving/models/micro_batcher';
import { byForm } from '../../../support/jest/forms.ts';
import { tinyModel, tinyScore } from '../../../support/platforms/tiny_model.ts';

const REQUESTS = byForm({ short: 200_000, long: 1_000_000 });
const AT_ONCE = 2_000;
/** So many inputs there are; what each must give is known. */
const KNOWN = 4_096;
const WIDTH = 4;

test('many requests of one to a hundred rows, for two models: each caller gets its own rows', async () => {
  const random = new Random(12);
  const biases = [0, 3];
  const models = await Promise.all(biases.map((bias) => LoadedModel.load(tinyModel(bias))));
  const batchers = models.map((model) => new MicroBatcher(model));
  const inputs = Float32Array.from({ length: KNOWN * WIDTH }, (_, at) =>
    at % WIDTH === 2 ? 0 : random.integer(0, 500),
  );
  const expected = biases.map((bias) =>
    Float32Array.from({ length: KNOWN }, (_, row) =>
      tinyScore(bias, [...inputs.subarray(row * WIDTH, (row + 1) * WIDTH)]),
    ),
  );
  let wrong = 0;
  let answered = 0;
  const request = async (): Promise<void> => {
    const which = random.integer(0, biases.length);
    const kind = random.integer(0, 1_000);
    // Nearly all are of one row, as in life; some are larger than what runs at once.
    const rows = kind < 900 ? 1 : kind < 998 ? random.integer(1, 6) : random.integer(60, 101);
    const from = random.integer(0, KNOWN - rows + 1);
    const output = await (batchers[which] as MicroBatcher).infer(
      inputs.subarray(from * WIDTH, (from + rows) * WIDTH),
      rows,
    );
    const wanted = expected[which] as Float32Array;
    if (output.length !== rows * 2) wrong += 1;
    for (let row = 0; row < rows; row += 1) {
      if (Math.abs((output[row * 2 + 1] as number) - (wanted[from + row] as number)) > 1e-5) wrong += 1;
    }
    answered += 1;
  };
  const caller = async (): Promise<void> => {
    for (let call = 0; call < REQUESTS / AT_ONCE; call += 1) {
      await request();
      // Callers come back in different turns.
      if (random.chance(0.02)) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, caller));
  expect({ answered, wrong }).toEqual({ answered: REQUESTS, wrong: 0 });
  for (const model of models) await model.release();
}, 400_000);
