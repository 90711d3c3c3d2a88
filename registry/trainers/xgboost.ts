import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { TrainingError } from '../errors.ts';

const FOLDER = 'registry/trainers/python';

export interface XgboostSettings {
  readonly trainingSet: string;
  readonly out: string;
  /** The interpreter that makes the virtual environment. */
  readonly python?: string;
  readonly onLine: (line: string) => void;
}

/**
 * Trains the fraud detector with XGBoost in Python: in a virtual environment of its own, made once per set of pinned requirements,
 * below `.cache/`. Writes model.onnx, headwater.json and card.json to `out`.
 *
 * @throws {@link TrainingError} when Python is missing or the script fails
 */
export async function trainXgboost(settings: XgboostSettings): Promise<void> {
  const python = await virtualEnvironment(settings.python ?? 'python3', settings.onLine);
  await run(python, [assetPath(`${FOLDER}/train_fraud.py`), settings.trainingSet, settings.out], settings.onLine);
}

async function virtualEnvironment(python: string, onLine: XgboostSettings['onLine']): Promise<string> {
  const requirements = assetPath(`${FOLDER}/requirements.txt`);
  const pinned = createHash('sha256')
    .update(await readFile(requirements))
    .digest('hex')
    .slice(0, 12);
  const folder = assetPath(`.cache/trainers-${pinned}`);
  const interpreter = join(folder, 'bin', 'python');
  if (existsSync(join(folder, 'complete'))) return interpreter;
  onLine(`making a Python environment in ${folder}`);
  await mkdir(folder, { recursive: true });
  await run(python, ['-m', 'venv', folder], onLine);
  await run(
    interpreter,
    ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements],
    onLine,
  );
  await writeFile(join(folder, 'complete'), '');
  return interpreter;
}

function run(command: string, args: readonly string[], onLine: XgboostSettings['onLine']): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => {
      for (const line of chunk.toString('utf8').split('\n')) if (line !== '') onLine(line);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString('utf8')).slice(-2_000);
    });
    child.on('error', (error) =>
      reject(
        new TrainingError(
          `${command} cannot be started: install Python 3.11 with venv, or name another with PYTHON`,
          error,
        ),
      ),
    );
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new TrainingError(`${command} ${args[0]} ended with code ${code}: ${errors.trim()}`));
    });
  });
}
