import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { Random } from '#kernel/random';
import { type ModelFolder, readModelFolder } from '#registry/model_folder';
import { trainInPython } from '#registry/trainers/python_trainer';
import { trainingConfigSchema } from '#registry/trainers/training_config';
import { cacheFolder, once, run } from '#scripts/services/install';
import { freePort, startProcess } from '#scripts/services/managed_process';
import { cpuMsOf } from '../tools/server_process.ts';

export const COLUMNS = Array.from({ length: 30 }, (_, index) => `feature_${index}`);
const ROWS = 4_000;

/** XGBoost, 100 trees of depth 6, on 30 numbers unless told otherwise. */
export async function trainBenchModel(
  columns: readonly string[] = COLUMNS,
): Promise<{ readonly folder: string; readonly model: ModelFolder }> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-serving-'));
  const random = new Random(11);
  const lines = Array.from({ length: ROWS }, (_, row) => {
    const values = columns.map(() => random.between(-3, 3));
    const [a, b, c] = values as [number, number, number];
    const label = random.chance(1 / (1 + Math.exp(-(a * b + c)))) ? 1 : 0;
    return [row, 'e', '2026-01-01T00:00:00.000Z', label, ...values].join(',');
  });
  const data = `${[['label_id', 'entity_key', 'event_time', 'label', ...columns].join(','), ...lines].join('\n')}\n`;
  const set = join(folder, 'set');
  mkdirSync(set);
  writeFileSync(join(set, 'data.csv'), data);
  const manifest = {
    service: { service: 'bench@1', fingerprint: '' },
    columns: columns.map((name) => ({ name, type: 'double' })),
    files: [{ name: 'data.csv', sha256: createHash('sha256').update(data).digest('hex') }],
  };
  writeFileSync(join(set, 'manifest.json'), JSON.stringify(manifest));
  const config = trainingConfigSchema.parse({
    ...{ trainer: 'xgboost', service: 'bench@1', classes: ['good', 'bad'] },
    params: { n_estimators: 100, max_depth: 6 },
  });
  const out = join(folder, 'model');
  await trainInPython({ config, trainingSet: set, out, trials: 0, onLine: () => {} });
  return { folder: out, model: await readModelFolder(out) };
}

/** The same model behind FastAPI and onnxruntime, one worker. */
export async function startFastApi(modelFolder: string): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const venv = join(cacheFolder, 'bench-serving-1');
  await once(venv, 'installing FastAPI and onnxruntime to compare with', async () => {
    await run('python3', ['-m', 'venv', venv]);
    const requirements = assetPath('bench/python/serving_requirements.txt');
    await run(join(venv, 'bin/pip'), ['install', '-q', '--disable-pip-version-check', '-r', requirements]);
  });
  const folder = mkdtempSync(join(tmpdir(), 'fastapi-'));
  writeFileSync(join(folder, 'columns.json'), JSON.stringify(COLUMNS));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const server = await startProcess({
    name: 'FastAPI',
    command: join(venv, 'bin/python'),
    args: [
      assetPath('bench/python/fastapi_onnx.py'),
      join(modelFolder, 'model.onnx'),
      join(folder, 'columns.json'),
      String(port),
    ],
    logFile: join(folder, 'server.log'),
    isReady: async () => (await fetch(`${url}/health`)).ok,
    readyWithinMs: 60_000,
  });
  return {
    url,
    async stop() {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The same model behind MLServer and onnxruntime, in MLServer's own process. */
export async function startMlServer(
  modelFolder: string,
  name: string,
): Promise<{ readonly address: string; cpuMs(): Promise<number | undefined>; stop(): Promise<void> }> {
  const venv = join(cacheFolder, 'bench-mlserver-1');
  await once(venv, 'installing MLServer to compare with', async () => {
    await run('python3', ['-m', 'venv', venv]);
    const requirements = assetPath('bench/python/mlserver_requirements.txt');
    await run(join(venv, 'bin/pip'), ['install', '-q', '--disable-pip-version-check', '-r', requirements]);
  });
  const folder = mkdtempSync(join(tmpdir(), 'mlserver-'));
  copyFileSync(assetPath('bench/python/mlserver_onnx.py'), join(folder, 'mlserver_onnx.py'));
  const [http, grpc, metrics] = [await freePort(), await freePort(), await freePort()];
  const settings = {
    ...{ host: '127.0.0.1', http_port: http, grpc_port: grpc, metrics_port: metrics },
    ...{ parallel_workers: 0, debug: false },
  };
  writeFileSync(join(folder, 'settings.json'), JSON.stringify(settings));
  const model = {
    name,
    implementation: 'mlserver_onnx.OnnxModel',
    parameters: { uri: join(modelFolder, 'model.onnx') },
  };
  writeFileSync(join(folder, 'model-settings.json'), JSON.stringify(model));
  const server = await startProcess({
    ...{ name: 'MLServer', command: join(venv, 'bin/mlserver'), args: ['start', folder], cwd: folder },
    env: { PATH: `${join(venv, 'bin')}:${process.env.PATH}` },
    logFile: join(folder, 'server.log'),
    isReady: async () => (await fetch(`http://127.0.0.1:${http}/v2/models/${name}/ready`)).ok,
    readyWithinMs: 60_000,
  });
  return {
    address: `127.0.0.1:${grpc}`,
    cpuMs: () => cpuMsOf(server.pid),
    async stop() {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Instances with other numbers each, written out as callers do. */
export function instances(count: number, seed: number): readonly Readonly<Record<string, number>>[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () =>
    Object.fromEntries(COLUMNS.map((name) => [name, Math.round(random.between(-3, 3) * 1e4) / 1e4])),
  );
}
