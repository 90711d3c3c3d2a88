import { setImmediate } from 'node:timers/promises';
import { InferenceSession } from 'onnxruntime-node';
import { messageOf } from '#kernel/errors';
import { GraphStoppedError, InvalidModelError } from '#registry/errors';
import { examineGraph, type Graph, inItsOwnProcess, inThisProcess } from '#registry/graphs/graph';
import { DEFAULT_LIMITS, type ModelLimits } from '#registry/graphs/model_limits';
import { sessionOptionsOf } from '#registry/graphs/session_options';
import { joined, rowOf } from '#registry/graphs/tensor_batches';
import { type GraphSpec, type NamedTensors, type TypedTensor, zeros } from '#registry/graphs/typed_tensor';
import { hasBoundedWork } from '#registry/onnx/bounded_work';
import { describeOnnx, graphSpecOf } from '#registry/onnx/describe_onnx';
import { refuseExternalData } from '#registry/onnx/external_data';
import { readTreeEnsemble, type TreeEnsemble } from '#registry/onnx/tree_ensemble';
import {
  type ModelPackage,
  type ModelSignature,
  outputWidth,
  type RowValues,
  scoreWidth,
} from '#registry/packages/model_package';
import { createEncoder, type SignatureEncoder, TextNumbers } from '#registry/packages/signature_encoder';
import { decidingOutputs, decisionOf } from '#registry/rows/decision';
import { arrayFrom, feedsOf } from '#registry/rows/row_feeds';
import { checkGoldenRows } from './golden_rows.ts';
import { RowTexts } from './kernels/row_texts.ts';
import { DEFAULT_RUNTIME, type ModelRuntime } from './model_runtime.ts';
import { RowScanner } from './row_scanner.ts';
import { SessionThread } from './session_thread.ts';
import { ClassLabels } from './trees/class_labels.ts';
import { TreeExplainer } from './trees/tree_explainer.ts';
import { TreeInference, widthOf } from './trees/tree_inference.ts';
import { TreeTrial } from './trees/tree_trial.ts';

const TIMED_BEFORE_MOVING = 3;
const WARM_UP_SCANS = 2_000;
const SCANS_A_PIECE = 100;

export interface LoadOptions {
  /** What comes out is the same bits each time, and does not depend on what was faster on the day. */
  readonly isRepeatable?: boolean;
  /** How it is computed; what is left out is as the configuration has it by default. */
  readonly runtime?: Partial<ModelRuntime>;
  readonly limits?: ModelLimits;
  /** It was examined when it was put here, as in an edge bundle: it is not examined again, and always computed in this process. */
  readonly isExamined?: boolean;
}

/** One version of a model, checked, warm and ready to answer. */
export class LoadedModel {
  readonly signature: ModelSignature;
  readonly encoder: SignatureEncoder;
  /** Reads rows of it out of JSON; undefined where rows of FP32 do not hold what the graph takes. */
  readonly scanner: RowScanner | undefined;
  /** The graph's inputs and outputs, under its own names. */
  readonly spec: GraphSpec;
  /** What numbers stand for, where the graph's label is a string. */
  readonly labels: TextNumbers | undefined;
  /** Why it takes no rows of columns; undefined where it does. */
  readonly rowsProblem: string | undefined;
  /** Equal for models that take the same columns and answer with the same classes. */
  readonly shape: string;
  /** Of its file. */
  readonly bytes: number;
  /** Values a row has in the output. */
  readonly outputWidth: number;
  /** Of these, those that are scores. */
  readonly scoreWidth: number;
  readonly #graph: Graph;
  /** What the file is, when it is nothing but trees. */
  #ensemble: TreeEnsemble | undefined;
  #trees: TreeInference | undefined;
  /** Of trees whose graph gives labels as well. */
  #classLabels: ClassLabels | undefined;
  /** For more rows onnxruntime is faster. */
  #treesUpTo = 0;
  #thread: SessionThread | undefined;
  #explainer: Promise<TreeExplainer | undefined> | undefined;
  #givesTreeTensors = false;
  #rowTexts: RowTexts | undefined;
  /** [examples, columns]: what explanations compare with. */
  #background: RowValues = new Float32Array(0);
  /** Rows in each run, where the graph fixes their number. */
  readonly #batch: number | undefined;
  #running = 0;
  #released = false;

  private constructor(graph: Graph, spec: GraphSpec, { signature, onnx }: ModelPackage) {
    this.#graph = graph;
    this.spec = spec;
    const { label } = signature.onnx;
    const isText = spec.outputs.some(({ name, type }) => name === label && type === 'string');
    this.labels = isText ? new TextNumbers() : undefined;
    this.#batch = fixedBatch(spec);
    this.rowsProblem = rowsProblemOf(signature, spec, this.#batch);
    this.signature = signature;
    this.bytes = onnx.byteLength;
    this.encoder = createEncoder(signature);
    this.shape = JSON.stringify([
      ...[signature.inputs, signature.task, signature.classes],
      ...(this.rowsProblem === undefined ? [] : [spec.inputs, spec.outputs.map(({ name, type }) => [name, type])]),
    ]);
    this.scanner = this.encoder.isWide || this.rowsProblem !== undefined ? undefined : new RowScanner(this.encoder);
    this.outputWidth = outputWidth(signature);
    this.scoreWidth = scoreWidth(signature);
  }

  /**
   * Examines the package's ONNX in a process apart, makes a session of it, checks the signature against it, replays the golden examples and warms up.
   *
   * @throws {@link InvalidModelError} listing what is wrong
   */
  static async load(model: ModelPackage, options: LoadOptions = {}): Promise<LoadedModel> {
    const { isRepeatable = false } = options;
    const runtime: ModelRuntime = { ...DEFAULT_RUNTIME, ...options.runtime };
    refuseExternalData(model.onnx);
    const spec = graphSpecOf(describeOnnx(model.onnx));
    const graph = await openGraph(model, spec, runtime, options);
    const loaded = new LoadedModel(graph, spec, model);
    try {
      if (loaded.rowsProblem !== undefined) {
        await loaded.#moveOut(model.onnx, runtime);
        await loaded.#warmUp(runtime);
        return loaded;
      }
      loaded.#checkNames();
      // In pieces: requests for others are answered meanwhile.
      await setImmediate();
      loaded.#background = await checkGoldenRows(loaded, model.examples);
      await loaded.#warmScanner(model.examples);
      if (graph.lost !== undefined) return loaded;
      // Kernels of WebAssembly are no execution provider.
      if (runtime.executionProviders[0] === 'cpu') await loaded.#adoptTrees(model.onnx, isRepeatable);
      await loaded.#moveOut(model.onnx, runtime);
      await loaded.#warmUp(runtime);
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

  /** Off the thread on which requests are answered, where one row of it would hold all others up. */
  async #moveOut(onnx: Uint8Array, runtime: ModelRuntime): Promise<void> {
    const { ownThreadFromMs } = runtime;
    if (this.#trees !== undefined || this.#graph.lost !== undefined) return;
    if (ownThreadFromMs === Number.POSITIVE_INFINITY) return;
    const work = await this.smallestRun();
    if (work === undefined) return;
    let fastestMs = Number.POSITIVE_INFINITY;
    for (let run = 0; run < TIMED_BEFORE_MOVING; run += 1) {
      const beganMs = performance.now();
      await work();
      fastestMs = Math.min(fastestMs, performance.now() - beganMs);
    }
    if (fastestMs < ownThreadFromMs) return;
    this.#thread = await SessionThread.start({ onnx, options: sessionOptionsOf(runtime) });
    await this.#graph.release();
  }

  /** Where requests will be computed, on a thread as well. */
  async #warmUp({ warmUpRuns }: ModelRuntime): Promise<void> {
    const work = await this.smallestRun();
    for (let run = 0; run < warmUpRuns && work !== undefined; run += 1) await work();
  }

  /** Returns what computes the least that the graph can be given; undefined where that cannot be known. */
  async smallestRun(): Promise<(() => Promise<unknown>) | undefined> {
    if (this.rowsProblem === undefined) {
      const row = this.encoder.allocate(1);
      return () => this.run(row, 1);
    }
    const names = this.spec.outputs.map(({ name }) => name);
    for (const feeds of trialFeeds(this.spec)) {
      try {
        await this.runTensors(feeds, names);
        return () => this.runTensors(feeds, names);
      } catch {}
    }
    return undefined;
  }

  /** Rows are read many times before the first request waits for it. */
  async #warmScanner(examples: ModelPackage['examples']): Promise<void> {
    const { scanner } = this;
    if (scanner === undefined) return;
    const texts = examples.map(({ features }) => Buffer.from(JSON.stringify(features)));
    const into = new Float32Array(this.encoder.width);
    for (let scan = 0; scan < WARM_UP_SCANS && texts.length > 0; scan += 1) {
      scanner.open(texts[scan % texts.length] as Buffer);
      scanner.scan(0, into, 0);
      if (scan % SCANS_A_PIECE === 0) await setImmediate();
    }
  }

  async #adoptTrees(onnx: Uint8Array, isRepeatable: boolean): Promise<void> {
    if (this.encoder.isWide || this.#batch !== undefined) return;
    const ensemble = readTreeEnsemble(onnx);
    if (ensemble === undefined || ensemble.output !== this.signature.onnx.output) return;
    if (widthOf(ensemble) !== this.scoreWidth) return;
    this.#ensemble = ensemble;
    await setImmediate();
    const trees = TreeInference.of(ensemble, this.encoder.width);
    await setImmediate();
    if (trees === undefined) return;
    const classLabels = ClassLabels.of(this.signature, this.labels);
    if (classLabels === undefined && this.signature.onnx.label !== undefined) return;
    const runScores = async (input: Float32Array, rows: number): Promise<RowValues> => {
      const output = await this.#runSession(input, rows);
      return classLabels === undefined ? output : classLabels.scoresOf(output, rows);
    };
    const trial = new TreeTrial(trees, ensemble, this.encoder.width, runScores);
    if (!(await trial.agrees())) return;
    if (classLabels !== undefined && !classLabels.agree(await this.#runSession(trial.probes, trial.rows))) return;
    this.#classLabels = classLabels;
    this.#trees = trees;
    await trial.warmUp();
    this.#treesUpTo = isRepeatable ? Number.POSITIVE_INFINITY : await trial.fasterUpTo();
    this.#givesTreeTensors = await this.#areTreeTensorsAlike(trial.probes.slice(0, this.encoder.width));
  }

  /** Says whether tensors by trees have the types and dimensions that the graph gives: some graphs declare others. @param row - one */
  async #areTreeTensorsAlike(row: Float32Array): Promise<boolean> {
    const { onnx } = this.signature;
    const output = this.#runTrees(row, 1);
    if (onnx.inputs !== undefined || output === undefined) return false;
    const names = [onnx.output, onnx.label].filter((name) => name !== undefined);
    const given = await this.#runGraph({ [onnx.input]: { type: 'float32', dims: [1, row.length], data: row } }, names);
    return names.every((name) => {
      const own = this.outputTensor(name, output, 1);
      return own.type === given[name]?.type && String(own.dims) === String(given[name].dims);
    });
  }

  /** Writes rows as JSON; undefined where a row is more than numbers of FP32. */
  get rowTexts(): RowTexts | undefined {
    if (this.encoder.isWide || this.encoder.texts !== undefined) return undefined;
    if (this.signature.inputs.some(({ categories }) => categories !== undefined)) return undefined;
    this.#rowTexts ??= new RowTexts(this.encoder.names);
    return this.#rowTexts;
  }

  get background(): RowValues {
    return this.#background;
  }

  /** Returns what explains trees exactly, made at the first use; undefined for other graphs, and where there is nothing to compare with. */
  treeExplainer(): Promise<TreeExplainer | undefined> {
    this.#explainer ??= this.#makeExplainer();
    return this.#explainer;
  }

  async #makeExplainer(): Promise<TreeExplainer | undefined> {
    if (this.#ensemble === undefined) return undefined;
    return TreeExplainer.of(this.#ensemble, this.#background as Float32Array, this.encoder.width, (input, rows) =>
      this.scores(input, rows),
    );
  }

  /** Computes rows as {@link run} does, without their labels: [rows, scoreWidth], row-major. */
  async scores(input: RowValues, rows: number): Promise<RowValues> {
    const output = await this.run(input, rows);
    const width = this.scoreWidth;
    if (width === this.outputWidth) return output;
    const scores = new Float64Array(rows * width);
    for (let row = 0; row < rows; row += 1) {
      scores.set(output.subarray(row * this.outputWidth, row * this.outputWidth + width), row * width);
    }
    return scores;
  }

  /**
   * Computes rows, by whichever is faster for so many.
   *
   * @param input - [rows, width], row-major, as {@link SignatureEncoder.allocate} makes it
   * @returns [rows, outputWidth], row-major
   * @throws TypeError for an array of another kind or length: its bytes would be taken for other numbers
   */
  async run(input: RowValues, rows: number): Promise<RowValues> {
    const { isWide, width } = this.encoder;
    if (input instanceof Float64Array !== isWide || input.length < rows * width) {
      const wanted = `${isWide ? 'Float64Array' : 'Float32Array'} of ${rows} × ${width}`;
      throw new TypeError(`the model takes a ${wanted}, not a ${input.constructor.name} of ${input.length}`);
    }
    return this.#runTrees(input as Float32Array, rows) ?? this.#runSession(input, rows);
  }

  /** @returns undefined where the graph is faster, or where there are none; where scores are as good as equal it has the label */
  #runTrees(input: Float32Array, rows: number): RowValues | undefined {
    if (this.#trees === undefined || rows > this.#treesUpTo) return undefined;
    const output = this.#trees.run(input, rows);
    return this.#classLabels === undefined ? output : this.#classLabels.label(output, rows);
  }

  /** The same for tensors under the graph's names. */
  #runTreeTensors(feeds: NamedTensors, outputs: readonly string[]): NamedTensors | undefined {
    const { onnx } = this.signature;
    const { data, dims } = feeds[onnx.input] ?? {};
    const [rows = 0] = dims ?? [];
    if (!this.#givesTreeTensors) return undefined;
    if (!(data instanceof Float32Array) || rows === 0 || data.length !== rows * this.encoder.width) return undefined;
    if (outputs.some((name) => name !== onnx.output && name !== onnx.label)) return undefined;
    const output = this.#runTrees(data, rows);
    if (output === undefined) return undefined;
    return Object.fromEntries(outputs.map((name) => [name, this.outputTensor(name, output, rows)]));
  }

  /**
   * Computes outputs of the graph for tensors under its own names, by whichever is faster for so many rows.
   *
   * @throws what onnxruntime says against the tensors; {@link InvalidModelError} for an output that cannot be read
   */
  async runTensors(feeds: NamedTensors, outputs: readonly string[]): Promise<NamedTensors> {
    return this.#runTreeTensors(feeds, outputs) ?? this.#runGraph(feeds, outputs);
  }

  async #runGraph(feeds: NamedTensors, outputs: readonly string[]): Promise<NamedTensors> {
    this.#running += 1;
    try {
      const results = await this.#runWhole(feeds, outputs);
      const unread = outputs.filter((name) => results[name] === undefined);
      if (unread.length > 0) throw new InvalidModelError([`its output ${unread.join(', ')} is no tensor`]);
      return results;
    } finally {
      this.#running -= 1;
      if (this.#released && this.#running === 0) await this.#free();
    }
  }

  /** Rows one at a time, where the graph takes one a run. */
  async #runWhole(feeds: NamedTensors, outputs: readonly string[]): Promise<NamedTensors> {
    const runner = this.#thread ?? this.#graph;
    const rows = Object.values(feeds)[0]?.dims[0] ?? 1;
    if (this.#batch !== 1 || rows === 1) return runner.run(feeds, outputs);
    const parts: NamedTensors[] = [];
    for (let row = 0; row < rows; row += 1) parts.push(await runner.run(rowOf(feeds, row), outputs));
    return joined(parts, outputs);
  }

  /** Returns what decides, out of the outputs of {@link runTensors}: [rows, outputWidth], row-major. */
  decisionOf(results: NamedTensors, rows: number): RowValues {
    return decisionOf(this.signature, results, rows, this.labels);
  }

  /** Returns the tensors that rows are given to the graph as. */
  feedsOf(input: RowValues, rows: number): NamedTensors {
    return feedsOf(this.signature, this.encoder, input, rows);
  }

  /** Returns the scores or the label of an output of {@link run} as the graph has them. */
  outputTensor(name: string, output: RowValues, rows: number): TypedTensor {
    const { signature, labels, outputWidth: all } = this;
    const { type, dims } = this.spec.outputs.find((each) => each.name === name) ?? { type: 'float32', dims: [0, 0] };
    const width = this.scoreWidth;
    const isLabel = name === signature.onnx.label;
    if (width === all && type === 'float32' && output instanceof Float32Array) {
      return { type, dims: dims.length === 1 ? [rows] : [rows, width], data: output };
    }
    const from = isLabel ? width : 0;
    const columns = isLabel ? 1 : width;
    const values = Float64Array.from({ length: rows * columns }, (_, at) => {
      return output[Math.floor(at / columns) * all + from + (at % columns)] as number;
    });
    const data =
      type === 'string' ? Array.from(values, (label) => labels?.textOf(label) ?? '') : arrayFrom(type, values);
    return { type, dims: dims.length === 1 ? [rows] : [rows, columns], data };
  }

  /** Whether the graph takes one row in a run; more are run one by one. */
  get hasFixedRow(): boolean {
    return this.#batch === 1;
  }

  async #runSession(input: RowValues, rows: number): Promise<RowValues> {
    if (this.#batch !== undefined && rows !== this.#batch) return this.#runOneByOne(input, rows);
    const feeds = feedsOf(this.signature, this.encoder, input, rows);
    return this.decisionOf(await this.#runGraph(feeds, decidingOutputs(this.signature)), rows);
  }

  async #runOneByOne(input: RowValues, rows: number): Promise<RowValues> {
    const { width } = this.encoder;
    let all: RowValues | undefined;
    for (let row = 0; row < rows; row += 1) {
      const output = await this.#runSession(input.slice(row * width, (row + 1) * width), 1);
      all ??= new (output.constructor as new (size: number) => RowValues)(rows * this.outputWidth);
      all.set(output, row * this.outputWidth);
    }
    return all ?? new Float32Array(0);
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
  spec: GraphSpec,
  runtime: ModelRuntime,
  { limits = DEFAULT_LIMITS, isExamined = false }: LoadOptions,
): Promise<Graph> {
  const sessionOptions = sessionOptionsOf(runtime);
  try {
    if (!isExamined) {
      if (!hasBoundedWork(model.onnx)) return await inItsOwnProcess(model.onnx, limits, sessionOptions);
      // Trees alone cannot but end.
      const isTried = readTreeEnsemble(model.onnx)?.isWhole === true || (await examine(model, spec, limits));
      if (!isTried) return await inItsOwnProcess(model.onnx, limits, sessionOptions);
    }
    return inThisProcess(await InferenceSession.create(model.onnx, sessionOptions));
  } catch (error) {
    const what = error instanceof GraphStoppedError ? '' : 'onnxruntime does not take it: ';
    throw new InvalidModelError([`${what}${messageOf(error)}`], error);
  }
}

/** Runs the graph once in another process. @returns false where no tensors are known that it takes */
async function examine(
  { signature, onnx, examples }: ModelPackage,
  spec: GraphSpec,
  limits: ModelLimits,
): Promise<boolean> {
  const batch = fixedBatch(spec);
  if (rowsProblemOf(signature, spec, batch) !== undefined) return examineTensors(onnx, spec, limits);
  const encoder = createEncoder(signature);
  const rows = batch ?? Math.max(1, examples.length);
  const input = encoder.allocate(rows);
  // What is wrong with an example is said when it is checked.
  for (const [index, { features }] of examples.slice(0, rows).entries()) {
    encoder.encode(features, input, index * encoder.width);
  }
  const feeds = feedsOf(signature, encoder, input, rows);
  await examineGraph(onnx, feeds, decidingOutputs(signature), limits);
  return true;
}

async function examineTensors(onnx: Uint8Array, spec: GraphSpec, limits: ModelLimits): Promise<boolean> {
  const names = spec.outputs.map(({ name }) => name);
  // A graph that cannot be opened is refused where it is opened again.
  for (const feeds of trialFeeds(spec)) {
    try {
      await examineGraph(onnx, feeds, names, limits);
      return true;
    } catch (error) {
      if (error instanceof GraphStoppedError) throw error;
    }
  }
  return false;
}

/** Sizes that dimensions of any size are tried with: sequences take the first, most images a later one. */
const TRIED_SIZES = [1, 8, 32, 224];

/** Tensors of zeros that a graph may take, of growing size. */
function* trialFeeds({ inputs }: GraphSpec): Generator<NamedTensors> {
  const isOpen = inputs.some(({ dims }) => dims.slice(1).some((dim) => typeof dim !== 'number'));
  for (const size of isOpen ? TRIED_SIZES : TRIED_SIZES.slice(0, 1)) {
    const feeds: Record<string, TypedTensor> = {};
    for (const { name, type, dims } of inputs) {
      feeds[name] = zeros(
        type,
        dims.map((dim, at) => (typeof dim === 'number' ? dim : at === 0 ? 1 : size)),
      );
    }
    yield feeds;
  }
}

/** Returns the number of rows that the graph fixes for every run; undefined where it may be any. */
function fixedBatch({ inputs }: GraphSpec): number | undefined {
  const [first] = inputs.map(({ dims }) => dims[0]);
  return typeof first === 'number' ? first : undefined;
}

function rowsProblemOf({ task }: ModelSignature, { inputs }: GraphSpec, batch: number | undefined): string | undefined {
  const taken = inputs.map(({ name, type, dims }) => `${name} ${type} [${dims.map((dim) => dim ?? -1)}]`).join(', ');
  if (task === 'tensors') return `it takes tensors, no rows of columns: ${taken}`;
  return batch === undefined || batch === 1
    ? undefined
    : `it takes exactly ${batch} rows in a run, as tensors: ${taken}`;
}

const TIMED_RUNS = 50;

/**
 * Loads a model as serving does, and releases it again.
 *
 * @returns the median time for one row, ms
 * @throws {@link InvalidModelError} listing what is wrong
 */
export async function examineModel(model: ModelPackage, limits?: ModelLimits): Promise<{ readonly latencyMs: number }> {
  const loaded = await LoadedModel.load(model, limits === undefined ? {} : { limits });
  try {
    const work = await loaded.smallestRun();
    const times: number[] = [];
    for (let run = 0; run < TIMED_RUNS; run += 1) {
      const begin = performance.now();
      await work?.();
      times.push(performance.now() - begin);
    }
    times.sort((a, b) => a - b);
    return { latencyMs: times[TIMED_RUNS >> 1] as number };
  } finally {
    await loaded.release();
  }
}
