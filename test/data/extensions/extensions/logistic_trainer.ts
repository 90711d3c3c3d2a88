import {
  type CellValue,
  defineTrainer,
  heldOutFrom,
  MLP_INPUT,
  MLP_OUTPUT,
  type ModelSignature,
  mlpToOnnx,
} from 'headwater/registry';
import { z } from 'zod';

const LEARNING_RATE = 0.5;

/** A logistic regression on the table's numbers, by gradient descent, as a network of one layer. */
export const logistic = defineTrainer({
  name: 'logistic',
  settings: z.strictObject({ steps: z.int().positive().default(300), classes: z.tuple([z.string(), z.string()]) }),
  async train({ table, settings, report }) {
    const rows = heldOutFrom(table.rows.length);
    const places = table.columns.flatMap(({ type }, at) => (type === 'string' ? [] : [at]));
    const inputs = places.map((at) => {
      const { name, type } = table.columns[at] as (typeof table.columns)[number];
      return { name, type, required: false };
    });
    const squashed = (value: CellValue): number => {
      const number = Number(value ?? 0);
      return Math.sign(number) * Math.log1p(Math.abs(number));
    };
    const x = table.rows.slice(0, rows).map((row) => places.map((at) => squashed(row[at] ?? null)));
    const center = places.map((_, at) => x.reduce((sum, row) => sum + (row[at] as number), 0) / rows);
    const scale = places.map((_, at) => {
      const spread = x.reduce((sum, row) => sum + ((row[at] as number) - (center[at] as number)) ** 2, 0) / rows;
      return Math.sqrt(spread) || 1;
    });
    const scaled = x.map((row) => row.map((value, at) => (value - (center[at] as number)) / (scale[at] as number)));
    const weights = places.map(() => 0);
    let bias = 0;
    for (let step = 0; step < settings.steps; step += 1) {
      const gradient = places.map(() => 0);
      let gradientOfBias = 0;
      for (const [at, row] of scaled.entries()) {
        const sum = row.reduce((total, value, column) => total + value * (weights[column] as number), bias);
        const error = 1 / (1 + Math.exp(-sum)) - (table.labels[at] as number);
        gradientOfBias += error / rows;
        for (const [column, value] of row.entries())
          gradient[column] = (gradient[column] as number) + (error * value) / rows;
      }
      bias -= LEARNING_RATE * gradientOfBias;
      for (const [at, slope] of gradient.entries()) weights[at] = (weights[at] as number) - LEARNING_RATE * slope;
    }
    report(`${settings.steps} steps on ${rows} rows`);
    const onnx = mlpToOnnx(
      {
        width: places.length,
        fill: new Float32Array(places.length),
        center: Float32Array.from(center),
        scale: Float32Array.from(scale),
        layers: [{ weights: Float32Array.from(weights), bias: Float32Array.of(bias) }],
      },
      '1',
    );
    const signature: ModelSignature = {
      ...{ inputs, task: 'binary_classification', classes: settings.classes },
      onnx: { input: MLP_INPUT, output: MLP_OUTPUT },
      featureService: table.featureService,
    };
    return { package: { onnx, signature, examples: [] }, params: { steps: String(settings.steps) } };
  },
});
