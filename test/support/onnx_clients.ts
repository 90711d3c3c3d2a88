import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { cacheFolder, once, run } from '#scripts/services/install';

/** Libraries that make ONNX models, and clients of inference servers. */
const PACKAGES = [
  ...[
    'numpy==2.4.6',
    'onnx==1.23.2',
    'onnxruntime==1.32.0',
    'scikit-learn==1.9.1',
    'skl2onnx==1.20.0',
    'onnxmltools==1.16.0',
  ],
  ...['lightgbm==4.7.0', 'xgboost-cpu==3.2.0', 'tritonclient[http,grpc]==2.63.0', 'boto3==1.44.8', 'requests'],
];
const FOLDER = join(cacheFolder, 'onnx-clients-1');

async function python(): Promise<string> {
  const given = process.env.TEST_CLIENTS_PYTHON;
  if (given !== undefined) return given;
  await once(FOLDER, 'installing libraries and clients of ONNX models', async () => {
    await run('python3', ['-m', 'venv', FOLDER]);
    await run(join(FOLDER, 'bin', 'pip'), ['install', '-q', ...PACKAGES]);
  });
  return join(FOLDER, 'bin', 'python');
}

/** Runs a Python program with these libraries, and returns what it has printed. @throws with its errors when it fails */
export async function runClient(program: string, args: readonly string[]): Promise<string> {
  const child = spawn(await python(), [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`${program} ended with code ${code}: ${errors.slice(-3_000)}`);
  return output;
}
