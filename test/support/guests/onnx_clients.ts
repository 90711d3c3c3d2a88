import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { cacheFolder, once, run } from '#scripts/services/install';

/** Python libraries, by what they are for: those that make ONNX models and those that are clients ask for different versions of protobuf. */
const PACKAGES = {
  models: [
    ...['numpy==2.4.6', 'onnx==1.23.2', 'onnxruntime==1.32.0', 'scikit-learn==1.9.1', 'skl2onnx==1.20.0'],
    ...['onnxmltools==1.16.0', 'lightgbm==4.7.0', 'xgboost-cpu==3.2.0', 'shap==0.51.0'],
  ],
  clients: ['numpy==2.4.6', 'tritonclient[http,grpc]==2.63.0', 'boto3==1.44.8', 'requests==2.32.5'],
} as const;
type Libraries = keyof typeof PACKAGES;
const FOLDERS = {
  models: join(cacheFolder, 'onnx-models-1'),
  clients: join(cacheFolder, 'inference-clients-1'),
} as const;

async function python(libraries: Libraries): Promise<string> {
  const folder = FOLDERS[libraries];
  await once(folder, `installing Python’s libraries for ${libraries} of ONNX`, async () => {
    await run('python3', ['-m', 'venv', folder]);
    await run(join(folder, 'bin', 'pip'), ['install', '-q', ...PACKAGES[libraries]]);
  });
  return join(folder, 'bin', 'python');
}

/** Returns a folder that has packages beside the libraries for models, or other versions of theirs, without what they depend on. @param wheel - as pip takes it: xgboost-cpu==2.1.4 */
export async function wheelsFolder(wheel: string, ...others: readonly string[]): Promise<string> {
  const pip = join(dirname(await python('models')), 'pip');
  const folder = join(cacheFolder, `onnx-models-${wheel}`);
  await once(folder, `installing ${wheel}`, async () => {
    await run(pip, ['install', '-q', '--no-deps', '--target', folder, wheel, ...others]);
  });
  return folder;
}

/** Runs a Python program with libraries, and returns what it has printed. @param first - folder whose packages count before them. @throws with its errors when it fails */
export async function runWith(
  libraries: Libraries,
  program: string,
  args: readonly string[],
  first?: string,
): Promise<string> {
  const env = { ...process.env, ...(first === undefined ? {} : { PYTHONPATH: first }) };
  const child = spawn(await python(libraries), [program, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
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
