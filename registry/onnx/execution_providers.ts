import { InferenceSession, listSupportedBackends } from 'onnxruntime-node';
import { messageOf } from '#kernel/errors';
import { ModelProto, ONNX_FLOAT } from './onnx_proto.ts';

/**
 * Returns why an execution provider cannot be used in this process; undefined where it can. A provider that the build of onnxruntime knows may still lack its
 * libraries or its device: a graph of one node is opened with it.
 */
export async function providerProblem(name: string): Promise<string | undefined> {
  const known = listSupportedBackends().map((backend) => backend.name);
  if (!known.includes(name)) return `this build of onnxruntime has none of this name; it has ${known.join(', ')}`;
  try {
    const session = await InferenceSession.create(identity(), { executionProviders: [name], logSeverityLevel: 4 });
    await session.release();
    return undefined;
  } catch (error) {
    return `this build of onnxruntime cannot open it here: ${messageOf(error)}`;
  }
}

function identity(): Uint8Array {
  const value = (name: string): object => ({
    name,
    type: { tensorType: { elemType: ONNX_FLOAT, shape: { dim: [{ dimValue: 1 }] } } },
  });
  const graph = {
    ...{ name: 'identity', node: [{ opType: 'Identity', input: ['x'], output: ['y'] }] },
    ...{ input: [value('x')], output: [value('y')] },
  };
  return ModelProto.encode(
    ModelProto.fromObject({ irVersion: 8, opsetImport: [{ domain: '', version: 13 }], graph }),
  ).finish();
}
