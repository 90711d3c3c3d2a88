import { InferenceSession, Tensor } from 'onnxruntime-node';
import { messageOf } from '#kernel/errors';
import { whenParentIsGone } from '#kernel/workers/parent_process';
import type { GraphAnswer, GraphRequest } from './graph_process.ts';
import { fromOrt, toOrt } from './ort_tensors.ts';

// A process that computes graphs and nothing else: what does not end here is killed, and takes nothing else with it.

let session: InferenceSession | undefined;

async function answer(request: GraphRequest): Promise<GraphAnswer> {
  if (request.kind === 'open') {
    await session?.release();
    session = undefined;
    session = await InferenceSession.create(request.onnx, request.options);
    return { kind: 'opened', inputNames: session.inputNames, outputNames: session.outputNames };
  }
  if (session === undefined) throw new Error('no model is open');
  return { kind: 'ran', results: fromOrt(await session.run(toOrt(request.feeds, Tensor), request.outputs)) };
}

process.on('message', (request: GraphRequest) => {
  answer(request).then(
    (answered) => process.send?.(answered),
    (error: unknown) => process.send?.({ kind: 'failed', problem: messageOf(error) } satisfies GraphAnswer),
  );
});
// The parent has ended, however it did.
whenParentIsGone(() => process.exit());
process.send?.({ kind: 'ready' } satisfies GraphAnswer);
