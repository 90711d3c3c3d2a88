import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { GraphProcess } from './graph_process.ts';
import type { ModelLimits } from './model_limits.ts';
import { fromOrt, toOrt } from './ort_tensors.ts';
import { SESSION_OPTIONS } from './session_options.ts';
import type { NamedTensors } from './typed_tensor.ts';

/** A graph that can be computed: in this process, or in one of its own. */
export interface Graph {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Computes these outputs. One that is no tensor of a known type is left out. */
  run(feeds: NamedTensors, outputs: readonly string[]): Promise<NamedTensors>;
  release(): Promise<void>;
  /** Resolves with the reason once it can compute no more, by no wish of ours; undefined where that cannot be. */
  readonly lost: Promise<Error> | undefined;
}

export const inThisProcess = (session: InferenceSession): Graph => ({
  inputNames: session.inputNames,
  outputNames: session.outputNames,
  lost: undefined,
  run: async (feeds, outputs) => fromOrt(await session.run(toOrt(feeds, Tensor), outputs)),
  release: () => session.release(),
});

const MEBIBYTE = 2 ** 20;
/** The file, as it comes, as protobuf reads it, as a session keeps it, and once more while that is made. */
const COPIES = 4;

const memoryFor = (onnx: Uint8Array, { memoryMb }: ModelLimits): number =>
  memoryMb * MEBIBYTE + COPIES * onnx.byteLength;

/** Opens a graph in a process of its own. @param onnx - without external data @throws what onnxruntime says; {@link GraphStoppedError} when opening does not end */
export async function inItsOwnProcess(
  onnx: Uint8Array,
  limits: ModelLimits,
  options: InferenceSession.SessionOptions = SESSION_OPTIONS,
): Promise<Graph> {
  const own = new GraphProcess(memoryFor(onnx, limits));
  try {
    const { inputNames, outputNames } = await own.request({ kind: 'open', onnx, options }, 'opened', limits.examineMs);
    let isReleased = false;
    // The first run is that of the examples.
    let timeoutMs = limits.examineMs;
    return {
      ...{ inputNames, outputNames },
      // Never once it was released.
      lost: own.lost.then((error) => (isReleased ? new Promise<never>(() => {}) : error)),
      async run(feeds, outputs) {
        const within = timeoutMs;
        timeoutMs = limits.runMs;
        return (await own.request({ kind: 'run', feeds, outputs }, 'ran', within)).results;
      },
      async release() {
        isReleased = true;
        own.stop();
      },
    };
  } catch (error) {
    own.stop();
    throw error;
  }
}

/** Kept for models that are loaded soon after one another. */
const IDLE_MS = 10_000;

/** One process, which is there while models are examined. */
class Examiner {
  #process: { readonly own: GraphProcess; readonly memoryBytes: number } | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #idle: NodeJS.Timeout | undefined;

  /** @throws {@link GraphStoppedError} when it does not end within its limits, or takes the process down; what onnxruntime says */
  examine(onnx: Uint8Array, feeds: NamedTensors, outputs: readonly string[], limits: ModelLimits): Promise<void> {
    const turn = this.#turn.then(() => this.#examine(onnx, feeds, outputs, limits));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #examine(
    onnx: Uint8Array,
    feeds: NamedTensors,
    outputs: readonly string[],
    limits: ModelLimits,
  ): Promise<void> {
    clearTimeout(this.#idle);
    const memoryBytes = memoryFor(onnx, limits);
    if (this.#process !== undefined && (this.#process.own.isLost || this.#process.memoryBytes < memoryBytes)) {
      this.#process.own.stop();
      this.#process = undefined;
    }
    this.#process ??= { own: new GraphProcess(memoryBytes), memoryBytes };
    const { own } = this.#process;
    try {
      const { inputNames, outputNames } = await own.request(
        { kind: 'open', onnx, options: SESSION_OPTIONS },
        'opened',
        limits.examineMs,
      );
      // Names that differ are said where the signature is checked.
      const isNamed =
        outputs.every((output) => outputNames.includes(output)) &&
        Object.keys(feeds).every((name) => inputNames.includes(name));
      if (isNamed) await own.request({ kind: 'run', feeds, outputs }, 'ran', limits.examineMs);
    } finally {
      this.#idle = setTimeout(() => {
        this.#process?.own.stop();
        this.#process = undefined;
      }, IDLE_MS).unref();
    }
  }
}

const examiner = new Examiner();

/**
 * Opens and runs a graph once where it can do no harm, before it is loaded into a process that serves. Models are examined one after the other, in one
 * process that stays for a while: starting one takes longer than most examinations.
 *
 * @throws {@link GraphStoppedError}; what onnxruntime says against it
 */
export const examineGraph = (
  onnx: Uint8Array,
  feeds: NamedTensors,
  outputs: readonly string[],
  limits: ModelLimits,
): Promise<void> => examiner.examine(onnx, feeds, outputs, limits);
