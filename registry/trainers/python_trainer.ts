import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { PYTHON_TRAINERS, type PythonSettings, runPython, trainerEnvironment } from './python_environment.ts';
import type { TrainingConfig } from './training_config.ts';

export interface PythonTraining extends PythonSettings {
  readonly config: TrainingConfig;
  /** Folder with data.csv and manifest.json. */
  readonly trainingSet: string;
  /** Folder that gets model.onnx, headwater.json, card.json, and trials.json and search.db of a search. */
  readonly out: string;
  /** Tries so many sets of parameters first; 0: those of the configuration. */
  readonly trials: number;
}

/**
 * Trains in Python: in a virtual environment of its own, made once per set of pinned requirements, below `.cache/`.
 *
 * @throws {@link TrainingError} when Python is missing or the trainer fails, with what it said
 */
export async function trainInPython(training: PythonTraining): Promise<void> {
  const { config, trainingSet, out, trials } = training;
  const python = await trainerEnvironment(training);
  await mkdir(out, { recursive: true });
  const spec = join(out, 'training.json');
  await writeFile(spec, `${JSON.stringify({ ...config, trainingSet, out, trials }, null, 2)}\n`);
  await runPython(python, [assetPath(`${PYTHON_TRAINERS}/train.py`), spec], training);
}
