import { parentPort, Worker, workerData } from 'node:worker_threads';

type Message<P, R> =
  | { readonly kind: 'progress'; readonly value: P }
  | { readonly kind: 'result'; readonly value: R }
  | { readonly kind: 'error'; readonly error: unknown };

export interface WorkerJobOptions<P> {
  readonly onProgress?: (progress: P) => void;
  /** Ends the thread at once; the job then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  readonly maxHeapMb?: number;
}

/**
 * Runs one job on a thread of its own and resolves with what it returned. `job`, progress and result are
 * structured-cloned. The entry (see {@link workerEntry}) calls {@link serveWorkerJob}.
 */
export function runWorkerJob<J, P, R>(entry: URL, job: J, options: WorkerJobOptions<P> = {}): Promise<R> {
  return new Promise<R>((resolve, reject) => {
    const worker = new Worker(entry, {
      workerData: job,
      ...(options.maxHeapMb === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: options.maxHeapMb } }),
    });
    const abort = (): void => {
      reject(options.signal?.reason);
      void worker.terminate();
    };
    options.signal?.addEventListener('abort', abort, { once: true });
    if (options.signal?.aborted) abort();
    worker.on('message', (message: Message<P, R>) => {
      if (message.kind === 'progress') options.onProgress?.(message.value);
      else if (message.kind === 'result') resolve(message.value);
      else reject(message.error);
    });
    worker.on('error', reject);
    worker.on('exit', (code) => {
      options.signal?.removeEventListener('abort', abort);
      reject(new Error(`the worker thread ${entry.pathname} ended with code ${code} before it gave a result`));
    });
  });
}

/** The other side: call once, at the top level of the entry file. */
export function serveWorkerJob<J, P, R>(run: (job: J, report: (progress: P) => void) => Promise<R>): void {
  if (parentPort === null) throw new Error('serveWorkerJob is for worker threads');
  const port = parentPort;
  const post = (message: Message<P, R>): void => port.postMessage(message);
  run(workerData as J, (value) => post({ kind: 'progress', value })).then(
    (value) => post({ kind: 'result', value }),
    (error: unknown) => post({ kind: 'error', error }),
  );
}
