import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { environment } from '#configs/environment';
import { TrainingError } from '../errors.ts';
import type { TrainingConfig } from './training_config.ts';

type CommandTraining = Extract<TrainingConfig, { readonly trainer: 'command' }>;

export interface CommandRun {
  readonly config: CommandTraining;
  /** Where the program runs: the project's folder. */
  readonly cwd: string;
  /** Folder with data.csv and manifest.json. */
  readonly trainingSet: string;
  /** Folder that gets model.onnx and headwater.json; and card.json, where the program has metrics of its own. */
  readonly out: string;
  /** Tries so many sets of parameters first; 0: those of the configuration. */
  readonly trials: number;
  /** Called with each line that the program prints. */
  readonly onLine: (line: string) => void;
}

const KEPT_OF_ERRORS = 4_000;

/**
 * Trains by a program of the project's own, whose last argument is a JSON file with the training's settings and paths.
 *
 * @throws {@link TrainingError} when the program cannot be started or ends with another code than 0, with the end of what it printed to stderr
 */
export async function trainByCommand({ config, cwd, trainingSet, out, trials, onLine }: CommandRun): Promise<void> {
  await mkdir(out, { recursive: true });
  const spec = join(out, 'training.json');
  await writeFile(spec, `${JSON.stringify({ ...config, trainingSet, out, trials }, null, 2)}\n`);
  const [program = '', ...args] = config.command;
  await new Promise<void>((resolve, reject) => {
    const child = spawn(program, [...args, spec], { cwd, stdio: ['ignore', 'pipe', 'pipe'], env: environment() });
    let errors = '';
    createInterface({ input: child.stdout }).on('line', onLine);
    child.stderr.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString('utf8')).slice(-KEPT_OF_ERRORS);
    });
    child.on('error', (error) =>
      reject(new TrainingError(`the training command "${program}" cannot be started: ${error.message}`, error)),
    );
    child.on('close', (code, signal) => {
      if (code === 0) resolve();
      else {
        const how = code === null ? `was ended by ${signal}` : `ended with code ${code}`;
        reject(new TrainingError(`the training command ${config.command.join(' ')} ${how}: ${errors.trim()}`));
      }
    });
  });
}
