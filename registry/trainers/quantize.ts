import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { PYTHON_TRAINERS, type PythonSettings, runPython, trainerEnvironment } from './python_environment.ts';

/**
 * An ONNX file with weights of eight bits (dynamic quantisation by onnxruntime, in the trainers' Python environment).
 *
 * @throws {@link TrainingError} when none of its operators can be quantised
 */
export async function quantize(onnx: Uint8Array, settings: PythonSettings): Promise<Uint8Array> {
  const python = await trainerEnvironment(settings);
  const folder = await mkdtemp(join(tmpdir(), 'headwater-quantize-'));
  try {
    const [source, target] = [join(folder, 'model.onnx'), join(folder, 'quantized.onnx')];
    await writeFile(source, onnx);
    await runPython(python, [assetPath(`${PYTHON_TRAINERS}/quantize.py`), source, target], settings);
    return new Uint8Array(await readFile(target));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
