import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { messageOf } from '#kernel/errors';
import { workerEntry } from '#kernel/workers/worker_entry';
import { fromOrt, toOrt } from '#registry/graphs/ort_tensors';
import type { NamedTensors } from '#registry/graphs/typed_tensor';

// onnxruntime's binding computes in the thread that calls it: a costly model gets one of its own, so that requests for others do not wait for it.

interface Program {
  readonly onnx: Uint8Array;
  readonly options: InferenceSession.SessionOptions;
}

interface Asked {
  readonly id: number;
  readonly feeds: NamedTensors;
  readonly outputs: readonly string[];
}

const STOP = 'stop';
type Answered = { readonly id: number } & ({ readonly results: NamedTensors } | { readonly problem: string });

/** A session on a thread of its own. */
export class SessionThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve(results: NamedTensors): void; reject(error: unknown): void }>();
  readonly #exited: Promise<void>;
  #next = 0;
  #isStopping = false;
  #lost: Error | undefined;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on('message', (answered: Answered) => {
      const waiting = this.#waiting.get(answered.id);
      this.#waiting.delete(answered.id);
      // The process may end while nothing is computed, and not before.
      if (this.#waiting.size === 0 && !this.#isStopping) this.#worker.unref();
      if ('results' in answered) waiting?.resolve(answered.results);
      else waiting?.reject(new Error(answered.problem));
    });
    const lose = (error: Error): void => {
      this.#lost ??= error;
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    };
    worker.on('error', lose);
    this.#exited = new Promise((resolve) => {
      worker.on('exit', () => {
        lose(new Error('the thread of the model has ended'));
        resolve();
      });
    });
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

  run(feeds: NamedTensors, outputs: readonly string[]): Promise<NamedTensors> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    const id = this.#next;
    this.#next += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage({ id, feeds, outputs } satisfies Asked);
    });
  }

  /**
   * Resolves when the thread has ended by itself: it finishes its runs, releases the session and closes. A thread that is terminated while onnxruntime's
   * binding makes a value in it takes the whole process down.
   */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#worker.ref();
    if (this.#lost === undefined) this.#worker.postMessage(STOP);
    await this.#exited;
  }
}

async function serve({ onnx, options }: Program): Promise<void> {
  const session = await InferenceSession.create(onnx, options);
  let last: Promise<void> = Promise.resolve();
  const answer = async ({ id, feeds, outputs }: Asked): Promise<void> => {
    try {
      const results = fromOrt(await session.run(toOrt(feeds, Tensor), outputs));
      parentPort?.postMessage({ id, results } satisfies Answered);
    } catch (error) {
      parentPort?.postMessage({ id, problem: messageOf(error) } satisfies Answered);
    }
  };
  parentPort?.on('message', (message: Asked | typeof STOP) => {
    last = last.then(async () => {
      if (message !== STOP) return answer(message);
      await session.release();
      parentPort?.close();
    });
  });
  parentPort?.postMessage('ready');
}

if (!isMainThread && (workerData as Partial<Program> | null)?.onnx !== undefined) await serve(workerData as Program);
