import { setImmediate } from 'node:timers/promises';
import { InferenceSession } from 'onnxruntime-node';
import { messageOf } from '#kernel/errors';
import { GraphStoppedError, InvalidModelError } from '#registry/errors';
import { examineGraph, type Graph, inItsOwnProcess, inThisProcess } from '#registry/graphs/graph';
import { DEFAULT_LIMITS, type ModelLimits } from '#registry/graphs/model_limits';
import { SESSION_OPTIONS } from '#registry/graphs/session_options';
import { type ModelPackage, type ModelSignature, outputWidth } from '#registry/model_package';
import { hasBoundedWork } from '#registry/onnx/bounded_work';
import { refuseExternalData } from '#registry/onnx/external_data';
import { readTreeEnsemble, type TreeEnsemble } from '#registry/onnx/tree_ensemble';
import { createEncoder, type SignatureEncoder } from '#registry/signature_encoder';
import { feedsOf } from './onnx_feeds.ts';
import { RowScanner } from './row_scanner.ts';
import { SessionThread } from './session_thread.ts';
import { TreeInference } from './trees/tree_inference.ts';
import { TreeShap } from './trees/tree_shap.ts';
import { TreeTrial } from './trees/tree_trial.ts';

/** Golden rows must come back this close to what the trainer saw. */
const TOLERANCE = 1e-3;
const WARM_UP_RUNS = 3;
const OWN_THREAD_FROM_MS = 3;
const WARM_UP_SCANS = 2_000;
const SCANS_A_PIECE = 100;

export interface LoadOptions {
  /** What comes out is the same bits each time, and does not depend on what was faster on the day. */
  readonly isRepeatable?: boolean;
  /** A model is computed on a thread of its own when a row of it takes so long, ms: 3 unless this says otherwise. */
  readonly ownThreadFromMs?: number;
  readonly limits?: ModelLimits;
  /** It was examined when it was put here, as in an edge bundle: it is not examined again, and always computed in this process. */
  readonly isExamined?: boolean;
}

/** One version of a model, checked, warm and ready to answer. */
export class LoadedModel {
  readonly signature: ModelSignature;
  readonly encoder: SignatureEncoder;
  /** Reads rows of it out of JSON. */
  readonly scanner: RowScanner;
  /** Equal for models that take the same columns and answer with the same classes. */
  readonly shape: string;
  /** Of its file. */
  readonly bytes: number;
  /** Values a row has in the output. */
  readonly outputWidth: number;
  readonly #graph: Graph;
  /** What the file is, when it is nothing but trees. */
  #ensemble: TreeEnsemble | undefined;
  #trees: TreeInference | undefined;
  /** For more rows onnxruntime is faster. */
  #treesUpTo = 0;
  #thread: SessionThread | undefined;
  #explainer: TreeShap | undefined;
  /** FP32 [examples, columns]: what explanations compare with. */
  #background: Float32Array = new Float32Array(0);
  #running = 0;
  #released = false;

  private constructor(graph: Graph, { signature, onnx }: ModelPackage) {
    this.#graph = graph;
    this.signature = signature;
    this.bytes = onnx.byteLength;
    this.encoder = createEncoder(signature);
    this.shape = JSON.stringify([signature.inputs, signature.task, signature.classes]);
    this.scanner = new RowScanner(this.encoder);
    this.outputWidth = outputWidth(signature);
  }

  /**
   * Examines the package's ONNX in a process apart, makes a session of it, checks the signature against it, replays the golden examples and warms up.
   *
   * @throws {@link InvalidModelError} listing what is wrong
   */
  static async load(model: ModelPackage, options: LoadOptions = {}): Promise<LoadedModel> {
    const { isRepeatable = false, ownThreadFromMs = OWN_THREAD_FROM_MS } = options;
    const graph = await openGraph(model, options);
    const loaded = new LoadedModel(graph, model);
    try {
      loaded.#checkNames();
      // In pieces: requests for others are answered meanwhile.
      await setImmediate();
      await loaded.#checkExamples(model.examples);
      await loaded.#warmScanner(model.examples);
      if (graph.lost !== undefined) return loaded;
      await loaded.#adoptTrees(model.onnx, isRepeatable);
      if (ownThreadFromMs < Number.POSITIVE_INFINITY) await loaded.#moveOut(model.onnx, ownThreadFromMs);
    } catch (error) {
      await loaded.release();
      // Of its examples.
      if (error instanceof GraphStoppedError) throw new InvalidModelError([error.message], error);
      throw error;
    }
    return loaded;
  }

  #checkNames(): void {
    const { input, inputs, output } = this.signature.onnx;
    const problems: string[] = [];
    for (const name of inputs?.map((each) => each.name) ?? [input]) {
      if (this.#graph.inputNames.includes(name)) continue;
      problems.push(`its signature names input "${name}", the graph has ${this.#graph.inputNames.join(', ')}`);
    }
    if (!this.#graph.outputNames.includes(output)) {
      problems.push(`its signature names output "${output}", the graph has ${this.#graph.outputNames.join(', ')}`);
    }
    if (problems.length > 0) throw new InvalidModelError(problems);
  }

  async #checkExamples(examples: ModelPackage['examples']): Promise<void> {
    const { width } = this.encoder;
    const rows = Math.max(1, examples.length);
    const input = new Float32Array(rows * width);
    const problems: string[] = [];
    for (const [index, { features }] of examples.entries()) {
      const found = this.encoder.encode(features, input, index * width);
      for (const { field, problem } of found ?? []) problems.push(`its example ${index}: ${field} ${problem}`);
    }
    if (problems.length > 0) throw new InvalidModelError(problems);
    this.#background = input.subarray(0, examples.length * width);
    let output = await this.run(input, rows);
    for (let run = 1; run < WARM_UP_RUNS; run += 1) output = await this.run(input, rows);
    for (const [index, { output: expected }] of examples.entries()) {
      for (const [column, value] of expected.entries()) {
        const found = output[index * this.outputWidth + column] as number;
        if (!(Math.abs(found - value) <= TOLERANCE)) {
          problems.push(`its example ${index} gives ${found} where the trainer saw ${value}`);
        }
      }
    }
    if (problems.length > 0) throw new InvalidModelError(problems);
  }

  /** Off the thread on which requests are answered, where one row of it would hold all others up. */
  async #moveOut(onnx: Uint8Array, fromMs: number): Promise<void> {
    const { inputs, input, output } = this.signature.onnx;
    if (inputs !== undefined || this.#trees !== undefined) return;
    const { width } = this.encoder;
    const row = new Float32Array(width);
    let fastestMs = Number.POSITIVE_INFINITY;
    for (let run = 0; run < WARM_UP_RUNS; run += 1) {
      const beganMs = performance.now();
      await this.#runSession(row, 1);
      fastestMs = Math.min(fastestMs, performance.now() - beganMs);
    }
    if (fastestMs < fromMs) return;
    this.#thread = await SessionThread.start({ onnx, options: SESSION_OPTIONS, input, output, width });
    await this.#graph.release();
  }

  /** Rows are read many times before the first request waits for it. */
  async #warmScanner(examples: ModelPackage['examples']): Promise<void> {
    const texts = examples.map(({ features }) => Buffer.from(JSON.stringify(features)));
    const into = new Float32Array(this.encoder.width);
    for (let scan = 0; scan < WARM_UP_SCANS && texts.length > 0; scan += 1) {
      this.scanner.open(texts[scan % texts.length] as Buffer);
      this.scanner.scan(0, into, 0);
      if (scan % SCANS_A_PIECE === 0) await setImmediate();
    }
  }

  async #adoptTrees(onnx: Uint8Array, isRepeatable: boolean): Promise<void> {
    const ensemble = readTreeEnsemble(onnx);
    if (ensemble === undefined || ensemble.output !== this.signature.onnx.output) return;
    await setImmediate();
    const trees = TreeInference.of(ensemble, this.encoder.width);
    await setImmediate();
    if (trees?.outputWidth !== this.outputWidth) return;
    this.#ensemble = ensemble;
    const trial = new TreeTrial(trees, ensemble, this.encoder.width, (input, rows) => this.#runSession(input, rows));
    if (!(await trial.agrees())) return;
    this.#trees = trees;
    await trial.warmUp();
    this.#treesUpTo = isRepeatable ? Number.POSITIVE_INFINITY : await trial.fasterUpTo();
  }

  get background(): Float32Array {
    return this.#background;
  }

  /** Exact explanations, of trees that know how many training rows came through their nodes; made when first asked for. */
  get explainer(): TreeShap | undefined {
    if (this.#ensemble?.covers === undefined) return undefined;
    this.#explainer ??= new TreeShap(this.#ensemble);
    return this.#explainer;
  }

  /**
   * By whichever is faster for so many rows.
   *
   * @param input - FP32 [rows, width], row-major
   * @returns FP32 [rows, outputWidth], row-major
   */
  async run(input: Float32Array, rows: number): Promise<Float32Array> {
    if (this.#trees !== undefined && rows <= this.#treesUpTo) return this.#trees.run(input, rows);
    return this.#runSession(input, rows);
  }

  async #runSession(input: Float32Array, rows: number): Promise<Float32Array> {
    this.#running += 1;
    try {
      const { output: outputName } = this.signature.onnx;
      if (this.#thread !== undefined) return await this.#thread.run(input, rows);
      const data = await this.#graph.run(feedsOf(this.signature, this.encoder, input, rows), outputName);
      if (data === undefined || data.length !== rows * this.outputWidth) {
        throw new InvalidModelError([`its output "${outputName}" is not FP32 or FP64 [rows, ${this.outputWidth}]`]);
      }
      return data instanceof Float32Array ? data : Float32Array.from(data);
    } finally {
      this.#running -= 1;
      if (this.#released && this.#running === 0) await this.#free();
    }
  }

  /** Frees the session once no request uses it any more. */
  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    if (this.#running === 0) await this.#free();
  }

  async #free(): Promise<void> {
    if (this.#thread === undefined) await this.#graph.release();
    else await this.#thread.stop();
  }

  /** Resolves with the reason when it was stopped and answers no more; undefined where its work has a bound. */
  get lost(): Promise<Error> | undefined {
    return this.#graph.lost;
  }

  /** Whether it is computed on a thread of its own. */
  get hasThread(): boolean {
    return this.#thread !== undefined;
  }
}

/**
 * Where a graph's work has a bound, one run in a process apart shows that it ends, and it is computed here. Others stay in a process of their own, with a
 * deadline for each run.
 */
async function openGraph(
  model: ModelPackage,
  { limits = DEFAULT_LIMITS, isExamined = false }: LoadOptions,
): Promise<Graph> {
  refuseExternalData(model.onnx);
  try {
    if (!isExamined) {
      if (!hasBoundedWork(model.onnx)) return await inItsOwnProcess(model.onnx, limits);
      // Trees alone cannot but end.
      if (readTreeEnsemble(model.onnx) === undefined) await examine(model, limits);
    }
    return inThisProcess(await InferenceSession.create(model.onnx, SESSION_OPTIONS));
  } catch (error) {
    const what = error instanceof GraphStoppedError ? '' : 'onnxruntime does not take it: ';
    throw new InvalidModelError([`${what}${messageOf(error)}`], error);
  }
}

function examine({ signature, onnx, examples }: ModelPackage, limits: ModelLimits): Promise<void> {
  const encoder = createEncoder(signature);
  const rows = Math.max(1, examples.length);
  const input = new Float32Array(rows * encoder.width);
  // What is wrong with an example is said when it is checked.
  for (const [index, { features }] of examples.entries()) encoder.encode(features, input, index * encoder.width);
  return examineGraph(onnx, feedsOf(signature, encoder, input, rows), signature.onnx.output, limits);
}

const TIMED_RUNS = 50;

/**
 * Loads a model as serving does, and lets go of it again.
 *
 * @returns the median time for one row, ms
 * @throws {@link InvalidModelError} listing what is wrong
 */
export async function examineModel(model: ModelPackage, limits?: ModelLimits): Promise<{ readonly latencyMs: number }> {
  const loaded = await LoadedModel.load(model, limits === undefined ? {} : { limits });
  try {
    const input = new Float32Array(loaded.encoder.width);
    const times: number[] = [];
    for (let run = 0; run < TIMED_RUNS; run += 1) {
      const begin = performance.now();
      await loaded.run(input, 1);
      times.push(performance.now() - begin);
    }
    times.sort((a, b) => a - b);
    return { latencyMs: times[TIMED_RUNS >> 1] as number };
  } finally {
    await loaded.release();
  }
}
