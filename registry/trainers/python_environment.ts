import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { environment } from '#configs/environment';
import { assetPath } from '#kernel/project_root';
import { TrainingError } from '../errors.ts';

export interface PythonSettings {
  /** The interpreter that makes virtual environments; `python3` without. */
  readonly python?: string | undefined;
  readonly onLine: (line: string) => void;
  readonly signal?: AbortSignal;
  /** Variables beside those of this process. */
  readonly env?: Readonly<Record<string, string>>;
}

const KEPT_OF_ERRORS = 2_000;
const QUIETLY = ['--quiet', '--disable-pip-version-check'];

/** Below the project's root. */
export const PYTHON_TRAINERS = 'registry/trainers/python';

const cacheFolder = (): string => environment().HEADWATER_CACHE ?? assetPath('.cache');

/**
 * A virtual environment with the pinned requirements of a file, made once, below `.cache/`.
 *
 * @returns its interpreter
 * @throws {@link TrainingError} when Python is missing, or a package cannot be had
 */
export async function virtualEnvironment(requirements: string, settings: PythonSettings): Promise<string> {
  const pinned = createHash('sha256')
    .update(await readFile(requirements))
    .digest('hex')
    .slice(0, 12);
  const folder = join(cacheFolder(), `trainers-${pinned}`);
  const interpreter = join(folder, 'bin', 'python');
  if (existsSync(join(folder, 'complete'))) return interpreter;
  settings.onLine(`making a Python environment in ${folder}, once`);
  await mkdir(folder, { recursive: true });
  await runPython(settings.python ?? 'python3', ['-m', 'venv', folder], settings);
  await runPython(interpreter, ['-m', 'pip', 'install', ...QUIETLY, '-r', requirements], settings);
  await writeFile(join(folder, 'complete'), '');
  return interpreter;
}

/** The interpreter that trainers run with. @throws {@link TrainingError} */
export const trainerEnvironment = (settings: PythonSettings): Promise<string> =>
  virtualEnvironment(assetPath(`${PYTHON_TRAINERS}/requirements.txt`), settings);

/** A package's files alone, without what it depends on, below `.cache/`. @returns their folder @throws {@link TrainingError} */
export async function installPackage(requirement: string, settings: PythonSettings): Promise<string> {
  const folder = join(cacheFolder(), `package-${requirement.replace('==', '-')}`);
  if (existsSync(folder)) return folder;
  settings.onLine(`fetching ${requirement}, once`);
  const incomplete = `${folder}.incomplete`;
  await rm(incomplete, { recursive: true, force: true });
  const install = ['-m', 'pip', 'install', ...QUIETLY, '--no-deps', '--target', incomplete, requirement];
  await runPython(settings.python ?? 'python3', install, settings);
  await rename(incomplete, folder);
  return folder;
}

/** Runs Python to its end, line by line. @throws {@link TrainingError} with the end of what it said when it fails */
export function runPython(
  interpreter: string,
  args: readonly string[],
  { onLine, signal, env }: PythonSettings,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(interpreter, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...environment(), PYTHONUNBUFFERED: '1', ...env },
      ...(signal === undefined ? {} : { signal }),
    });
    let errors = '';
    createInterface({ input: child.stdout }).on('line', onLine);
    child.stderr.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString('utf8')).slice(-KEPT_OF_ERRORS);
    });
    child.on('error', (error) =>
      reject(
        new TrainingError(
          signal?.aborted === true
            ? 'training was stopped'
            : `${interpreter} cannot be started: install Python 3.11 with venv, or name another with PYTHON`,
          error,
        ),
      ),
    );
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new TrainingError(`${interpreter} ${args[0]} ended with code ${code}: ${errors.trim()}`));
    });
  });
}
