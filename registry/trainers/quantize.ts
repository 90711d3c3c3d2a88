import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { TrainingError } from '../errors.ts';
import { refuseExternalData } from '../onnx/external_data.ts';
import { PYTHON_TRAINERS, type PythonSettings, runPython, trainerEnvironment } from './python_environment.ts';

const QUANTIZE_WITHIN_MS = 600_000;

/**
 * Returns an ONNX file with weights of eight bits (dynamic quantisation by onnxruntime, in the trainers' Python environment). Python is killed when it takes
 * longer than `withinMs`.
 *
 * @throws {@link TrainingError} when none of its operators can be quantised, or it takes too long; {@link InvalidModelError} for external data
 */
export async function quantize(
  onnx: Uint8Array,
  settings: PythonSettings,
  withinMs = QUANTIZE_WITHIN_MS,
): Promise<Uint8Array> {
  refuseExternalData(onnx);
  const python = await trainerEnvironment(settings);
  const folder = await mkdtemp(join(tmpdir(), 'headwater-quantize-'));
  try {
    const [source, target] = [join(folder, 'model.onnx'), join(folder, 'quantized.onnx')];
    await writeFile(source, onnx);
    const late = AbortSignal.timeout(withinMs);
    const signal = settings.signal === undefined ? late : AbortSignal.any([settings.signal, late]);
    const script = assetPath(`${PYTHON_TRAINERS}/quantize.py`);
    await runPython(python, [script, source, target], { ...settings, signal }).catch((error: unknown) => {
      if (!late.aborted) throw error;
      throw new TrainingError(`quantizing the model took longer than ${withinMs} ms`, error);
    });
    return new Uint8Array(await readFile(target));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
