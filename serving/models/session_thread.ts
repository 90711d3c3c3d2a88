import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { messageOf } from '#kernel/errors';
import { workerEntry } from '#kernel/worker_entry';

// onnxruntime's binding computes in the thread that asks: a costly model gets one of its own, so that nobody waits for it who asked for another.

interface Program {
  readonly onnx: Uint8Array;
  readonly options: InferenceSession.SessionOptions;
  readonly input: string;
  readonly output: string;
  readonly width: number;
}

interface Asked {
  readonly id: number;
  readonly input: Float32Array;
  readonly rows: number;
}

type Answered = { readonly id: number } & ({ readonly output: Float32Array } | { readonly problem: string });

/** A session on a thread of its own, of a graph from one FP32 matrix to one tensor. */
export class SessionThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve(output: Float32Array): void; reject(error: unknown): void }>();
  #next = 0;
  #lost: Error | undefined;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on('message', (answered: Answered) => {
      const waiting = this.#waiting.get(answered.id);
      this.#waiting.delete(answered.id);
      if ('output' in answered) waiting?.resolve(answered.output);
      else waiting?.reject(new Error(answered.problem));
    });
    const lose = (error: Error): void => {
      this.#lost ??= error;
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    };
    worker.on('error', lose);
    worker.on('exit', () => lose(new Error('the thread of the model has ended')));
    worker.unref();
  }

  /** @throws what making the session fails with */
  static async start(program: Program): Promise<SessionThread> {
    const worker = new Worker(workerEntry(import.meta.url, './session_thread'), { workerData: program });
    await new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve());
      worker.once('error', reject);
    });
    return new SessionThread(worker);
  }

  /**
   * @param input - FP32 [rows, width], row-major
   * @returns the output's values, row-major
   */
  run(input: Float32Array, rows: number): Promise<Float32Array> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    const id = this.#next;
    this.#next += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, input, rows } satisfies Asked);
    });
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}

async function serve({ onnx, options, input, output, width }: Program): Promise<void> {
  const session = await InferenceSession.create(onnx, options);
  parentPort?.on('message', async (asked: Asked) => {
    try {
      const results = await session.run({ [input]: new Tensor('float32', asked.input, [asked.rows, width]) }, [output]);
      const values = results[output]?.data;
      const floats = values instanceof Float32Array ? values : Float32Array.from(values as Float64Array);
      parentPort?.postMessage({ id: asked.id, output: floats } satisfies Answered);
    } catch (error) {
      parentPort?.postMessage({ id: asked.id, problem: messageOf(error) } satisfies Answered);
    }
  });
  parentPort?.postMessage('ready');
}

if (!isMainThread && (workerData as Partial<Program> | null)?.onnx !== undefined) await serve(workerData as Program);
