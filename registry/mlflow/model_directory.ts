import { randomUUID } from 'node:crypto';
import { stringify } from 'yaml';
import { type ModelPackage, outputWidth } from '../packages/model_package.ts';
import { ONNX_FILE, PACKAGE_FILE, packageDocument } from '../packages/package_files.ts';

/** Versions the model was written for; what `mlflow models serve` installs. */
const REQUIREMENTS = ['mlflow==3.17.2', 'onnx==1.19.1', 'onnxruntime==1.23.2', 'numpy<3'];
const PYTHON = '3.11';

/**
 * The files of a model as MLflow's onnx flavor lays them out, so that `mlflow.onnx.load_model` and `mlflow models serve`
 * take it, and our own document beside them.
 */
export function modelDirectory(
  model: ModelPackage,
  runId: string,
  artifactPath: string,
): ReadonlyMap<string, string | Uint8Array> {
  const { signature } = model;
  const outputs = [-1, outputWidth(signature)];
  const tensor = (name: string, shape: readonly number[]) => ({
    name,
    type: 'tensor',
    'tensor-spec': { dtype: 'float32', shape },
  });
  const mlmodel = {
    artifact_path: artifactPath,
    flavors: {
      onnx: { code: null, data: ONNX_FILE, onnx_version: '1.19.1', providers: ['CPUExecutionProvider'] },
      python_function: {
        data: ONNX_FILE,
        env: { conda: 'conda.yaml', virtualenv: 'python_env.yaml' },
        loader_module: 'mlflow.onnx',
        python_version: PYTHON,
      },
    },
    mlflow_version: '3.17.2',
    model_uuid: randomUUID().replaceAll('-', ''),
    run_id: runId,
    utc_time_created: new Date().toISOString().replace('T', ' ').replace('Z', '000'),
    signature: {
      inputs: JSON.stringify([tensor(signature.onnx.input, [-1, signature.inputs.length])]),
      outputs: JSON.stringify([tensor(signature.onnx.output, outputs)]),
      params: null,
    },
  };
  return new Map<string, string | Uint8Array>([
    ['MLmodel', stringify(mlmodel)],
    [ONNX_FILE, model.onnx],
    ['requirements.txt', `${REQUIREMENTS.join('\n')}\n`],
    [
      'python_env.yaml',
      stringify({ python: PYTHON, build_dependencies: ['pip'], dependencies: ['-r requirements.txt'] }),
    ],
    [
      'conda.yaml',
      stringify({
        name: 'mlflow-env',
        channels: ['conda-forge'],
        dependencies: [`python=${PYTHON}`, 'pip', { pip: REQUIREMENTS }],
      }),
    ],
    [PACKAGE_FILE, packageDocument(model)],
  ]);
}
