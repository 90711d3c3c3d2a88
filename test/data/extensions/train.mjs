import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MLP_INPUT, MLP_OUTPUT, mlpToOnnx, writeModelFolder } from 'headwater/registry';

// `headwater models train churn_by_command` runs this, with the path of its settings.
const { columns, trainingSet, out, params } = JSON.parse(await readFile(process.argv[2], 'utf8'));
const { service } = JSON.parse(await readFile(join(trainingSet, 'manifest.json'), 'utf8'));
const onnx = mlpToOnnx(
  {
    ...{ width: 1, fill: Float32Array.of(0), center: Float32Array.of(2), scale: Float32Array.of(1) },
    layers: [{ weights: Float32Array.of(1.5), bias: Float32Array.of(0) }],
  },
  '1',
);
const signature = {
  ...{ inputs: [{ name: columns[0], type: 'double', required: false }], task: 'binary_classification' },
  ...{ classes: ['lost', 'kept'], onnx: { input: MLP_INPUT, output: MLP_OUTPUT } },
  featureService: { service: service.service, fingerprint: service.fingerprint },
};
await writeModelFolder(
  out,
  { onnx, signature, examples: [] },
  { card: { metrics: {}, params: { steps: String(params.steps) } } },
);
console.log(`trained on ${columns}`);
