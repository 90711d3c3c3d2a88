import { execFileSync } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from '@jest/globals';
import { mlflowConfigSchema } from '#registry/mlflow/config';
import { MlflowRegistry } from '#registry/mlflow/mlflow_registry';
import type { ModelVersion } from '#registry/model_registry';
import { LoadedModel } from '#serving/models/loaded_model';
import { describeRegistry } from '../../conformance/registry/registry_contract.ts';
import { tinyModel, tinyScore } from '../../support/platforms/tiny_model.ts';
import { serviceAddress } from '../service_address.ts';

const open = () =>
  new MlflowRegistry(
    mlflowConfigSchema.parse({
      kind: 'mlflow',
      trackingUri: process.env.TEST_MLFLOW_URL ?? 'http://127.0.0.1:1',
      experimentName: 'contract',
      timeoutMs: 20_000,
    }),
  );

describeRegistry('MLflow', open);

const PYTHON = `
import json, sys
import mlflow, numpy
mlflow.set_tracking_uri(sys.argv[1])
uri = f"models:/{sys.argv[2]}/Production"
onnx_model = mlflow.onnx.load_model(uri)
rows = numpy.array(json.loads(sys.argv[3]), dtype=numpy.float32)
predicted = mlflow.pyfunc.load_model(uri).predict({"features": rows})
print(json.dumps({"graph": onnx_model.graph.name, "probabilities": predicted["probabilities"].tolist()}))
`;

test('Python loads from MLflow what was registered here, and predicts the same', async () => {
  const registry = open();
  const name = `python-${Date.now()}`;
  const { version } = await registry.register({ name, package: tinyModel(0.5), metrics: { auc: 0.9 }, params: {} });
  await registry.transition(name, version, 'Production', { by: 'test' });
  const rows = [
    [10, 3, 1, 0.7],
    [2.5, 0, 0, 0.1],
  ];
  const args = ['-W', 'ignore', '-c', PYTHON, serviceAddress('TEST_MLFLOW_URL'), name, JSON.stringify(rows)];
  const output = execFileSync(serviceAddress('TEST_MLFLOW_PYTHON'), args, { encoding: 'utf8', timeout: 120_000 });
  const { graph, probabilities } = JSON.parse(output.trim().split('\n').at(-1) as string) as {
    graph: string;
    probabilities: number[][];
  };
  expect(graph).toBe('mlp');
  for (const [index, row] of rows.entries()) expect(probabilities[index]?.[1]).toBeCloseTo(tinyScore(0.5, row), 5);
}, 150_000);

const LOGS_A_MODEL = `
import sys
import mlflow, numpy, onnx, pandas
from onnx import TensorProto, helper
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("from-python")
weights = helper.make_tensor("weights", TensorProto.FLOAT, [2, 2], [0.0, 1.0, 0.0, -2.0])
graph = helper.make_graph(
    [helper.make_node("MatMul", ["X", "weights"], ["scores"]), helper.make_node("Softmax", ["scores"], ["probabilities"])],
    "python",
    [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 2])],
    [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2])],
    [weights],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
example = pandas.DataFrame({"amount": [1.0], "deviation": [2.0]})
signature = mlflow.models.infer_signature(example, numpy.array([[0.5, 0.5]], dtype=numpy.float32))
with mlflow.start_run():
    # Called otherwise in MLflow 2.
    where = {"name": "model"} if int(mlflow.__version__.split(".")[0]) > 2 else {"artifact_path": "model"}
    mlflow.log_metrics({"auc": 0.875, "gap": float("nan")})
    mlflow.onnx.log_model(model, **where, signature=signature, registered_model_name=sys.argv[2], metadata={"classes": ["good", "bad"]})
`;

test('a model that Python has logged and promoted is served here, under its own names', async () => {
  const name = `logged-${Date.now()}`;
  const args = ['-W', 'ignore', '-c', LOGS_A_MODEL, serviceAddress('TEST_MLFLOW_URL'), name];
  execFileSync(serviceAddress('TEST_MLFLOW_PYTHON'), args, { encoding: 'utf8', timeout: 120_000, stdio: 'pipe' });
  const registry = open();
  await registry.transition(name, 1, 'Production', { by: 'test' });
  const version = await registry.resolve(name, { alias: 'champion' });
  // What its run has logged is what the gates of a promotion see.
  expect(version?.metrics).toEqual({ auc: 0.875 });
  expect((await registry.listVersions(name)).map(({ metrics }) => metrics)).toEqual([{ auc: 0.875 }]);
  const model = await LoadedModel.load(await registry.download(version as ModelVersion));
  expect(model.signature).toMatchObject({
    inputs: [{ name: 'amount' }, { name: 'deviation' }],
    task: 'binary_classification',
    classes: ['good', 'bad'],
  });
  const input = new Float32Array(2);
  expect(model.encoder.encode({ amount: 3, deviation: 0.5 }, input, 0)).toBeUndefined();
  const [, bad] = await model.run(input, 1);
  expect(bad).toBeCloseTo(1 / (1 + Math.exp(-(3 - 2 * 0.5))), 5);
  await model.release();
}, 150_000);

const LOGS_A_NETWORK = `
import os, shutil, sys, tempfile
import mlflow, numpy, onnx, pandas
from onnx import TensorProto, helper, numpy_helper
from mlflow.tracking import MlflowClient
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("from-python")
weights = numpy.full((64, 64), 0.5, dtype=numpy.float32)
graph = helper.make_graph(
    [helper.make_node("MatMul", ["X", "weights"], ["y"])], "network",
    [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 64])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 64])],
    [numpy_helper.from_array(weights, "weights")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
example = pandas.DataFrame(numpy.ones((3, 64), dtype=numpy.float64), columns=[f"c{i}" for i in range(64)])
signature = mlflow.models.infer_signature(example, numpy.ones((1, 64), dtype=numpy.float32), params={"top_k": 3})
name = sys.argv[2]
client = MlflowClient()
with mlflow.start_run():
    logged = mlflow.onnx.log_model(model, name="model", signature=signature, input_example=example, registered_model_name=name)
# The same, while its values are still being uploaded.
folder = mlflow.artifacts.download_artifacts(logged.model_uri, dst_path=tempfile.mkdtemp())
beside = [file for file in os.listdir(folder) if file not in ("MLmodel", "model.onnx") and b"location" not in file.encode() and os.path.getsize(os.path.join(folder, file)) == 64 * 64 * 4]
assert len(beside) == 1, os.listdir(folder)
values = os.path.join(folder, beside[0])
away = os.path.join(tempfile.mkdtemp(), beside[0])
shutil.move(values, away)
with mlflow.start_run() as run:
    mlflow.log_artifacts(folder, "model")
    client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id)
    print("\\nRUN", run.info.run_id, away)
`;

const UPLOADS_THE_REST = `
import sys
from mlflow.tracking import MlflowClient
MlflowClient(sys.argv[1]).log_artifact(sys.argv[2], sys.argv[3], "model")
`;

test('a network whose values MLflow keeps beside it, its example and params; one that is not complete yet', async () => {
  const name = `network-${Date.now()}`;
  const python = (program: string, ...args: readonly string[]): string =>
    execFileSync(
      serviceAddress('TEST_MLFLOW_PYTHON'),
      ['-W', 'ignore', '-c', program, serviceAddress('TEST_MLFLOW_URL'), ...args],
      { encoding: 'utf8', timeout: 200_000 },
    );
  const [runId, away] = (/^RUN (.+)$/m.exec(python(LOGS_A_NETWORK, name))?.[1] ?? '').split(' ') as [string, string];
  const registry = open();
  const whole = await registry.download((await registry.resolve(name, { version: 1 })) as ModelVersion);
  expect(whole.signature).toMatchObject({
    task: 'values',
    onnx: { output: 'y' },
    params: [{ name: 'top_k', type: 'long' }],
  });
  expect(whole.signature.inputs[63]).toEqual({ name: 'c63', type: 'double', required: true, nullable: true });
  expect(whole.examples).toHaveLength(3);
  const model = await LoadedModel.load(whole);
  expect((await model.run(new Float32Array(64).fill(1), 1))[0]).toBe(32);
  expect(model.background).toHaveLength(3 * 64);
  await model.release();
  const second = (await registry.resolve(name, { version: 2 })) as ModelVersion;
  await expect(registry.download(second)).rejects.toMatchObject({
    code: 'REGISTRY_INCOMPLETE_MODEL',
    retryable: true,
    message: expect.stringContaining('there is no such file beside it'),
  });
  python(UPLOADS_THE_REST, runId, away);
  expect((await registry.download(second)).onnx).toEqual(whole.onnx);
}, 300_000);

test('a server that is down is named, after a few tries', async () => {
  const config = mlflowConfigSchema.parse({ kind: 'mlflow', trackingUri: 'http://127.0.0.1:1' });
  await expect(new MlflowRegistry(config).listModels()).rejects.toMatchObject({
    code: 'REGISTRY_UNAVAILABLE',
    retryable: true,
    message: expect.stringContaining('127.0.0.1:1'),
  });
}, 30_000);

/** Passes requests on to MLflow, and keeps their paths. */
async function recorder(): Promise<{ readonly url: string; readonly paths: string[]; close(): Promise<void> }> {
  const paths: string[] = [];
  const pass = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    paths.push(`${request.method} ${new URL(request.url ?? '', 'http://x').pathname.replace('/api/2.0/', '')}`);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const answer = await fetch(new URL(request.url ?? '', serviceAddress('TEST_MLFLOW_URL')), {
      method: request.method ?? 'GET',
      headers: { 'content-type': request.headers['content-type'] ?? 'application/json' },
      ...(chunks.length === 0 ? {} : { body: Buffer.concat(chunks) }),
    });
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'application/json' });
    response.end(Buffer.from(await answer.arrayBuffer()));
  };
  const server = createServer((request, response) => void pass(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    ...{ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, paths },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

test('models are registered with one server and runs are logged to another; one request shows what has changed', async () => {
  const [tracking, models] = [await recorder(), await recorder()];
  const registry = new MlflowRegistry(
    mlflowConfigSchema.parse({
      kind: 'mlflow',
      trackingUri: tracking.url,
      registryUri: models.url,
      experimentName: 'two',
    }),
  );
  try {
    const name = `two_servers_${Date.now()}`;
    const { version } = await registry.register({ name, package: tinyModel(0), metrics: { auc: 0.9 }, params: {} });
    const before = (await registry.fingerprints()).get(name);
    await registry.transition(name, version, 'Production');
    const staged = (await registry.fingerprints()).get(name);
    await registry.setAlias(name, 'other', version);
    const aliased = (await registry.fingerprints()).get(name);
    expect(new Set([undefined, before, staged, aliased]).size).toBe(4);
    const asked = models.paths.length;
    expect((await registry.fingerprints()).get(name)).toBe(aliased);
    expect(models.paths.length - asked).toBeLessThanOrEqual(2);
    await registry.download((await registry.resolve(name, { stage: 'Production' })) as ModelVersion);
    const isOfModels = (path: string): boolean => /registered-models|model-versions/.test(path);
    expect(models.paths.filter((path) => !isOfModels(path))).toEqual([]);
    expect(tracking.paths.filter(isOfModels)).toEqual([]);
    expect(tracking.paths).toEqual(expect.arrayContaining(['POST mlflow/runs/create']));
  } finally {
    await Promise.all([tracking.close(), models.close()]);
  }
}, 120_000);
