import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { halfValue } from '#registry/graphs/half_float';
import { type Mlmodel, packageOfForeign, readMlmodel } from '#registry/mlflow/foreign_model';
import { withExternalData } from '#registry/onnx/external_data';
import { runWith, wheelsFolder } from '../support/guests/onnx_clients.ts';
import { serveTiny, type TinyServing } from '../support/platforms/tiny_serving.ts';

// Models of scikit-learn, LightGBM, XGBoost, CatBoost, Keras, PyTorch and onnx.helper, as skl2onnx, onnxmltools, CatBoost, tf2onnx, both exporters of PyTorch and Hummingbird
// write them: every output is what Python's onnxruntime gives, in JSON and as bytes, and predictions are the library's own.

interface Tensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: readonly unknown[];
}
interface Case {
  readonly name: string;
  readonly opset: number;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly maps: readonly { readonly name: string; readonly data: readonly number[] }[];
  readonly metadata: object | null;
  readonly tags: Readonly<Record<string, string>>;
  readonly columns: readonly string[] | null;
  readonly frame: readonly (readonly unknown[])[] | null;
  readonly labels: readonly unknown[] | null;
  readonly tolerance: number;
}

const FEWEST = 120;
let folder: string;
let serving: TinyServing;
const cases: Case[] = [];

beforeAll(async () => {
  folder = process.env.TEST_MODELS_FOLDER ?? mkdtempSync(join(tmpdir(), 'models-'));
  if (process.env.TEST_MODELS_FOLDER === undefined) {
    const catboost = await wheelsFolder('catboost==1.2.10', 'graphviz==0.21', 'six==1.17.0');
    await runWith('models', assetPath('test/support/guests/make_models.py'), [folder], catboost);
    await runWith('models', assetPath('test/support/guests/make_graphs.py'), [folder]);
    await runWith('keras', assetPath('test/support/guests/make_keras.py'), [folder]);
    await runWith('torch', assetPath('test/support/guests/make_torch.py'), [folder]);
  }
  serving = await serveTiny({ onDemand: { memoryMb: 2_000 } }, async (registry) => {
    for (const name of readdirSync(folder).filter((each) => !each.includes('.'))) {
      const own = JSON.parse(readFileSync(join(folder, name, 'case.json'), 'utf8')) as Case;
      const file = new Uint8Array(readFileSync(join(folder, name, 'model.onnx')));
      const onnx = await withExternalData(file, async (path) => new Uint8Array(readFileSync(join(folder, name, path))));
      await registry.register({
        ...{ name, metrics: {}, params: {} },
        package: packageOfForeign(mlmodelOf(own), onnx, { tags: own.tags }),
      });
      await registry.transition(name, 1, 'Production');
      cases.push(own);
    }
  });
}, 2_400_000);
afterAll(async () => {
  await serving.stop();
  if (process.env.TEST_MODELS_FOLDER === undefined) rmSync(folder, { recursive: true, force: true });
});

function mlmodelOf({ metadata }: Case): Mlmodel {
  const document = { flavors: { onnx: { data: 'model.onnx' } }, ...(metadata === null ? {} : { metadata }) };
  return readMlmodel(Buffer.from(JSON.stringify(document))).mlmodel;
}

async function post(url: string, payload: object | Buffer, headers: Readonly<Record<string, string>> = {}) {
  const {
    statusCode,
    rawPayload,
    headers: answered,
  } = await serving.service.app.inject({
    ...{ method: 'POST', url, payload },
    headers: { ...(Buffer.isBuffer(payload) ? {} : { 'content-type': 'application/json' }), ...headers },
  });
  return { statusCode, rawPayload, headers: answered };
}

const numberOf = (value: unknown): number => (typeof value === 'boolean' ? Number(value) : Number(value));

/** The largest difference between two tensors, of numbers that are not infinite; −1 for strings that are equal. */
function differenceOf(found: readonly unknown[], expected: readonly unknown[], what: string): number {
  if (found.length !== expected.length) throw new Error(`${what} has ${found.length} values, not ${expected.length}`);
  let largest = 0;
  for (const [at, value] of expected.entries()) {
    const other = found[at];
    if (String(value) === String(other)) continue;
    const difference = Math.abs(numberOf(value) - numberOf(other)) / (1 + Math.abs(numberOf(value)));
    if (!Number.isFinite(difference)) throw new Error(`${what}, value ${at}: ${other} where ${value} was expected`);
    largest = Math.max(largest, difference);
  }
  return largest;
}

const READ: Readonly<Record<string, (bytes: Buffer) => readonly unknown[]>> = {
  FP16: (bytes) => Array.from(new Uint16Array(copyOf(bytes)), halfValue),
  FP32: (bytes) => [...new Float32Array(copyOf(bytes))],
  FP64: (bytes) => [...new Float64Array(copyOf(bytes))],
  INT8: (bytes) => [...new Int8Array(copyOf(bytes))],
  INT16: (bytes) => [...new Int16Array(copyOf(bytes))],
  INT32: (bytes) => [...new Int32Array(copyOf(bytes))],
  INT64: (bytes) => [...new BigInt64Array(copyOf(bytes))],
  UINT8: (bytes) => [...bytes],
  UINT16: (bytes) => [...new Uint16Array(copyOf(bytes))],
  UINT32: (bytes) => [...new Uint32Array(copyOf(bytes))],
  UINT64: (bytes) => [...new BigUint64Array(copyOf(bytes))],
  BOOL: (bytes) => [...bytes].map(Boolean),
  BYTES: (bytes) => {
    const texts: string[] = [];
    for (let at = 0; at < bytes.length; ) {
      const length = bytes.readUInt32LE(at);
      texts.push(bytes.toString('utf8', at + 4, at + 4 + length));
      at += 4 + length;
    }
    return texts;
  },
};
const copyOf = (bytes: Buffer): ArrayBuffer => new Uint8Array(bytes).buffer as ArrayBuffer;

/** Outputs of an answer with bytes behind its JSON. */
function readBinary(body: Buffer, jsonBytes: number): Tensor[] {
  const { outputs } = JSON.parse(body.toString('utf8', 0, jsonBytes)) as {
    outputs: (Tensor & { parameters: { binary_data_size: number } })[];
  };
  let at = jsonBytes;
  return outputs.map((output) => {
    const size = output.parameters.binary_data_size;
    at += size;
    return { ...output, data: (READ[output.datatype] as (bytes: Buffer) => unknown[])(body.subarray(at - size, at)) };
  });
}

test('every output is what onnxruntime gives in Python, in JSON and as bytes; every prediction is the library’s', async () => {
  const lines: string[] = [];
  const failures: string[] = [];
  for (const each of cases) {
    try {
      const largest = await check(each);
      lines.push(
        `${each.name.padEnd(36)} ${String(each.opset).padStart(5)}  ${each.inputs
          .map(({ name, datatype, shape }) => `${name} ${datatype} [${shape}]`)
          .join(', ')
          .slice(0, 60)
          .padEnd(62)} ${largest.toExponential(1)}`,
      );
      if (largest > each.tolerance) failures.push(`${each.name}: outputs differ by ${largest}`);
    } catch (error) {
      failures.push(`${each.name}: ${(error as Error).message}`);
    }
  }
  const head = `${'model'.padEnd(36)} opset  ${'inputs'.padEnd(62)} largest difference`;
  process.stdout.write(`\n${head}\n${lines.join('\n')}\n${cases.length} models\n`);
  expect(failures).toEqual([]);
  expect(cases.length).toBeGreaterThanOrEqual(FEWEST);
}, 600_000);

async function check({ name, inputs, outputs, maps, frame, columns, labels, tolerance }: Case): Promise<number> {
  const url = `/v2/models/${name}/infer`;
  const json = await post(url, { inputs, ...(maps.length > 0 ? {} : {}) });
  if (json.statusCode !== 200)
    throw new Error(`infer answers ${json.statusCode}: ${json.rawPayload.toString().slice(0, 400)}`);
  const answer = JSON.parse(json.rawPayload.toString()) as { outputs: Tensor[] };
  const binary = await post(url, { inputs, parameters: { binary_data_output: true } });
  const asBytes = readBinary(binary.rawPayload, Number(binary.headers['inference-header-content-length']));
  let largest = 0;
  const metadata = JSON.parse((await serving.service.app.inject({ url: `/v2/models/${name}` })).payload) as {
    inputs: Tensor[];
    outputs: Tensor[];
  };
  expect(metadata.inputs.map((each) => each.name).sort()).toEqual(inputs.map((each) => each.name).sort());
  expect(metadata.outputs.map((each) => each.name)).toEqual(
    expect.arrayContaining([...outputs, ...maps].map((each) => each.name)),
  );
  for (const expected of outputs) {
    for (const found of [answer.outputs, asBytes].map((all) => all.find((each) => each.name === expected.name))) {
      if (found === undefined) throw new Error(`there is no output ${expected.name}`);
      expect([found.datatype, found.shape]).toEqual([expected.datatype, expected.shape]);
      largest = Math.max(largest, differenceOf(found.data, expected.data, expected.name));
    }
  }
  for (const expected of maps) {
    const found = answer.outputs.find((each) => each.name === expected.name);
    largest = Math.max(largest, differenceOf(found?.data ?? [], expected.data, expected.name));
  }
  if (frame === null || columns === null || labels === null) return largest;
  const features = frame.map((row) =>
    Object.fromEntries(columns.map((column, at) => [column, row[at] === 'NaN' ? null : row[at]])),
  );
  const batch = await post('/predict/batch', { model_name: name, instances: features });
  if (batch.statusCode !== 200) throw new Error(`/predict/batch answers ${batch.rawPayload.toString().slice(0, 400)}`);
  const { predictions } = JSON.parse(batch.rawPayload.toString()) as { predictions: unknown[] };
  for (const [row, label] of labels.entries()) {
    const one = await post('/predict', { model_name: name, features: features[row] as object });
    const { prediction } = JSON.parse(one.rawPayload.toString()) as { prediction: unknown };
    for (const found of [predictions[row], prediction]) {
      const isSame =
        String(found) === String(label) ||
        differenceOf([found].flat(), [label].flat(), `prediction of row ${row}`) <= Math.max(tolerance, 1e-5);
      if (!isSame) throw new Error(`row ${row} is predicted ${found} where ${label} was expected`);
    }
  }
  return largest;
}
