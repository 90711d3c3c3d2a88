import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { InferenceSession } from 'onnxruntime-node';
import { workerEntry } from '#kernel/workers/worker_entry';
import { GraphStoppedError } from '../errors.ts';
import type { NamedTensors } from './typed_tensor.ts';

export type GraphRequest =
  | { readonly kind: 'open'; readonly onnx: Uint8Array; readonly options: InferenceSession.SessionOptions }
  | { readonly kind: 'run'; readonly feeds: NamedTensors; readonly outputs: readonly string[] };

export type GraphAnswer =
  | { readonly kind: 'ready' }
  | { readonly kind: 'opened'; readonly inputNames: readonly string[]; readonly outputNames: readonly string[] }
  | { readonly kind: 'ran'; readonly results: NamedTensors }
  | { readonly kind: 'failed'; readonly problem: string };

interface Waiting {
  readonly request: GraphRequest;
  readonly timeoutMs: number;
  resolve(answer: GraphAnswer): void;
  reject(error: unknown): void;
}

const START_WITHIN_MS = 60_000;
const MEMORY_POLL_MS = 25;
const PAGE_BYTES = 4_096;
const HEAP_MB = 256;

/**
 * A child process that computes graphs, one request after the other. It is killed when one takes too long, or the process more memory than it may;
 * whatever waits for it is rejected then.
 */
export class GraphProcess {
  readonly #child: ChildProcess;
  readonly #memoryBytes: number;
  readonly #waiting: Waiting[] = [];
  #current: Waiting | undefined;
  #isReady = false;
  #deadline: NodeJS.Timeout | undefined;
  #memoryWatch: NodeJS.Timeout | undefined;
  #ended: GraphStoppedError | undefined;
  readonly #lost = withResolvers<GraphStoppedError>();

  /** @param memoryBytes - resident memory that it may have; watched on Linux */
  constructor(memoryBytes: number) {
    this.#memoryBytes = memoryBytes;
    // No environment, hence no credentials; another working directory than the platform's.
    this.#child = fork(fileURLToPath(workerEntry(import.meta.url, './graph_process_entry')), [], {
      ...{ serialization: 'advanced', cwd: tmpdir(), env: {} },
      execArgv: [`--max-old-space-size=${HEAP_MB}`, '--no-warnings'],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.#child.on('message', (answer: GraphAnswer) => this.#take(answer));
    this.#child.on('error', (error) => this.#end(new GraphStoppedError(`its process failed: ${error.message}`)));
    this.#child.on('exit', (code, signal) =>
      this.#end(new GraphStoppedError(`its process ended with ${signal ?? `code ${code}`}`)),
    );
    // What is short of memory as a whole takes this process first.
    this.#tryTo(() => writeFileSync(`/proc/${this.#child.pid}/oom_score_adj`, '1000'));
    this.#deadline = setTimeout(
      () => this.#kill(`its process did not start within ${START_WITHIN_MS} ms`),
      START_WITHIN_MS,
    );
    this.#hold(false);
  }

  /** Resolves with the reason when the process is no more. */
  get lost(): Promise<GraphStoppedError> {
    return this.#lost.promise;
  }

  get isLost(): boolean {
    return this.#ended !== undefined;
  }

  /**
   * @param timeoutMs - from when the process begins with it
   * @throws {@link GraphStoppedError} when the process was killed or has ended; an Error with what onnxruntime says
   */
  async request<K extends 'opened' | 'ran'>(
    request: GraphRequest,
    expects: K,
    timeoutMs: number,
  ): Promise<Extract<GraphAnswer, { kind: K }>> {
    if (this.#ended !== undefined) throw this.#ended;
    const answer = await new Promise<GraphAnswer>((resolve, reject) => {
      this.#waiting.push({ request, timeoutMs, resolve, reject });
      this.#next();
    });
    if (answer.kind === 'failed') throw new Error(answer.problem);
    if (answer.kind !== expects)
      throw new GraphStoppedError(`its process answered ${answer.kind} where ${expects} was expected`);
    return answer as Extract<GraphAnswer, { kind: K }>;
  }

  #next(): void {
    if (!this.#isReady || this.#current !== undefined || this.#ended !== undefined) {
      this.#hold(this.#waiting.length > 0);
      return;
    }
    this.#current = this.#waiting.shift();
    this.#hold(this.#current !== undefined);
    if (this.#current === undefined) return;
    const { request, timeoutMs } = this.#current;
    this.#deadline = setTimeout(() => this.#kill(`it computed for longer than ${timeoutMs} ms`), timeoutMs);
    this.#memoryWatch = setInterval(() => this.#checkMemory(), MEMORY_POLL_MS);
    this.#child.send(request, (error) => {
      if (error !== null) this.#kill(`its process does not take requests: ${error.message}`);
    });
  }

  #take(answer: GraphAnswer): void {
    this.#clearTimers();
    if (answer.kind === 'ready') this.#isReady = true;
    else {
      this.#current?.resolve(answer);
      this.#current = undefined;
    }
    this.#next();
  }

  #checkMemory(): void {
    this.#tryTo(() => {
      const pages = Number(readFileSync(`/proc/${this.#child.pid}/statm`, 'latin1').split(' ')[1]);
      if (pages * PAGE_BYTES > this.#memoryBytes) {
        this.#kill(`it took more memory than ${Math.round(this.#memoryBytes / 2 ** 20)} MiB`);
      }
    });
  }

  /** Where there is no /proc, this is not done. */
  #tryTo(work: () => void): void {
    try {
      work();
    } catch {}
  }

  #kill(reason: string): void {
    this.#end(new GraphStoppedError(reason));
    this.#child.kill('SIGKILL');
  }

  #end(error: GraphStoppedError): void {
    this.#clearTimers();
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#current?.reject(error);
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    this.#current = undefined;
    this.#lost.resolve(error);
  }

  #clearTimers(): void {
    clearTimeout(this.#deadline);
    clearInterval(this.#memoryWatch);
  }

  /** Keeps the event loop alive only while a caller waits for an answer. */
  #hold(isBusy: boolean): void {
    const { channel } = this.#child;
    if (isBusy) {
      this.#child.ref();
      channel?.ref();
    } else {
      this.#child.unref();
      channel?.unref();
      this.#deadline?.unref();
    }
  }

  stop(): void {
    this.#kill('it was stopped');
  }
}

interface Resolvers<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
}

function withResolvers<T>(): Resolvers<T> {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
