import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { workerEntry } from '#kernel/worker_entry';
import { OfflineStoreError } from '../errors.ts';
import type { PgliteAnswer, PgliteRequest } from './pglite_worker.ts';
import type { SqlExecutor } from './sql_executor.ts';

interface Waiting {
  resolve(rows: readonly unknown[]): void;
  reject(error: unknown): void;
}

/** JavaScript heap of the thread; the database itself lives in WebAssembly memory. */
const HEAP_MB = 192;

/** PostgreSQL compiled to WebAssembly, on a thread of its own: a query must not hold up the requests this process serves. */
export class PgliteExecutor implements SqlExecutor {
  readonly #directory: string;
  #worker: Worker | undefined;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 0;

  /** @param directory - the database's data directory; made when absent */
  constructor(directory: string) {
    this.#directory = directory;
  }

  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true });
    if (!existsSync(join(this.#directory, 'PG_VERSION'))) {
      // Making the data directory takes some 400 MB that only the end of its thread gives back.
      await this.#connect();
      await this.close();
    }
    await this.#connect();
  }

  async #connect(): Promise<void> {
    const worker = new Worker(workerEntry(import.meta.url, './pglite_worker'), {
      workerData: { directory: this.#directory },
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
    this.#worker = worker;
    worker.on('message', (answer: PgliteAnswer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if ('rows' in answer) waiting?.resolve(answer.rows);
      else waiting?.reject(new OfflineStoreError('run a statement on PGlite', new Error(answer.error), answer.failure));
    });
    const fail = (error: unknown): void => {
      if (this.#worker === worker) this.#worker = undefined;
      for (const { reject } of this.#waiting.values()) {
        reject(new OfflineStoreError('go on: the PGlite thread ended', error, 'target'));
      }
      this.#waiting.clear();
    };
    worker.on('error', fail);
    worker.on('exit', (code) => fail(new Error(`exit code ${code}`)));
    await this.query('SELECT 1');
  }

  query<Row>(text: string, parameters: readonly unknown[] = []): Promise<readonly Row[]> {
    return this.#ask('query', text, parameters) as Promise<readonly Row[]>;
  }

  async script(text: string): Promise<void> {
    await this.#ask('script', text, []);
  }

  #ask(kind: PgliteRequest['kind'], text: string, parameters: readonly unknown[]): Promise<readonly unknown[]> {
    return new Promise((resolve, reject) => {
      const worker = this.#worker;
      if (worker === undefined) {
        reject(new OfflineStoreError('answer', new Error('PGlite is not open'), 'target'));
        return;
      }
      const id = this.#nextId++;
      this.#waiting.set(id, { resolve, reject });
      worker.postMessage({ id, kind, text, parameters } satisfies PgliteRequest);
    });
  }

  async close(): Promise<void> {
    if (this.#worker === undefined) return;
    await this.#ask('close', '', []).catch(() => {});
    const worker = this.#worker;
    this.#worker = undefined;
    await worker.terminate();
  }
}
