import { type OnnxRuntime, PortableModel } from './portable_model.ts';

// predict.mjs of a bundle for pages and workers.

export { type ModelFiles, type OnnxRuntime, PortableModel } from './portable_model.ts';

interface WebRuntime extends OnnxRuntime {
  readonly env: { readonly wasm: { numThreads?: number; wasmPaths?: { readonly wasm: string } } };
}

/**
 * Opens the model of the bundle that this file is in, with the onnxruntime beside it.
 *
 * @param base - address of the bundle's folder, with `/` at the end; default: where this file came from
 */
export async function openModel(base: string = new URL('./', import.meta.url).href): Promise<PortableModel> {
  const read = async (path: string): Promise<Response> => {
    const answer = await fetch(`${base}${path}`);
    if (!answer.ok) throw new Error(`${base}${path}: status ${answer.status}`);
    return answer;
  };
  const [onnx, document, runtime] = await Promise.all([
    read('model/model.onnx').then((answer) => answer.arrayBuffer()),
    read('model/headwater.json').then((answer) => answer.text()),
    import(`${base}onnxruntime/ort.wasm.bundle.min.mjs`) as Promise<WebRuntime>,
  ]);
  // Threads need headers of the page that isolate it.
  runtime.env.wasm.numThreads = 1;
  runtime.env.wasm.wasmPaths = { wasm: `${base}onnxruntime/ort-wasm-simd-threaded.wasm` };
  return PortableModel.open({ onnx: new Uint8Array(onnx), document }, runtime);
}
