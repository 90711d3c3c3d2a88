import { readdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { withinDeadline } from '#kernel/deadline';
import { workerEntry } from '#kernel/workers/worker_entry';
import { makeFolder, syncFolder } from '#storage/durable_files';
import { onDisk } from '#storage/errors';
import { FolderLock } from '#storage/folder_lock';
import { OfflineFolderError, OfflineStoreError } from '../errors.ts';
import type { PgliteAnswer, PgliteRequest } from './pglite_worker.ts';
import type { SqlExecutor, SqlStatement } from './sql_executor.ts';

interface Waiting {
  resolve(rows: readonly unknown[]): void;
  reject(error: unknown): void;
}

/** JavaScript heap of the thread; the database itself lives in WebAssembly memory. */
const HEAP_MB = 192;
/** Opening takes a few seconds, on a busy machine more; a database that is damaged may never open. */
const OPEN_MS = 120_000;
const CLOSE_MS = 10_000;

/** PostgreSQL compiled to WebAssembly, on a thread of its own: a query must not hold up the requests this process serves. */
export class PgliteExecutor implements SqlExecutor {
  readonly #directory: string;
  #worker: Worker | undefined;
  #lock: FolderLock | undefined;
  #connecting: Promise<void> | undefined;
  #isClosing = false;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 0;

  /** @param directory - the database's data directory; made when absent */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** @throws {@link OfflineFolderError} for a folder that holds no database, or one that does not open */
  async open(): Promise<void> {
    const directory = this.#directory;
    this.#isClosing = false;
    // Beside it: what is inside is PostgreSQL's.
    this.#lock = await FolderLock.acquire(directory, { at: `${directory}.lock` });
    try {
      const files = await onDisk(directory, () => readdir(directory));
      if (files.length === 0) await this.#make();
      else if (!files.includes('PG_VERSION')) {
        throw new OfflineFolderError(
          directory,
          new Error('it has files, and no PG_VERSION: it is not a whole database'),
        );
      }
      await this.#connect(directory);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Makes the database under another name first: a folder that has its name has all of it. */
  async #make(): Promise<void> {
    const directory = this.#directory;
    const making = `${directory}.making`;
    await onDisk(making, () => rm(making, { recursive: true, force: true }));
    await makeFolder(making);
    // Making the data directory takes some 400 MB that only the end of its thread gives back.
    await this.#connect(making);
    await this.#disconnect();
    await onDisk(directory, () => rename(making, directory));
    await syncFolder(dirname(directory));
  }

  async #connect(directory: string): Promise<void> {
    const worker = new Worker(workerEntry(import.meta.url, './pglite_worker'), {
      workerData: { directory },
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
        reject(new OfflineStoreError('finish a statement: the PGlite thread ended', error, 'transient'));
      }
      this.#waiting.clear();
    };
    worker.on('error', fail);
    worker.on('exit', (code) => fail(new Error(`exit code ${code}`)));
    try {
      await withinDeadline('opening PGlite', OPEN_MS, this.#ask('query', 'SELECT 1', []));
    } catch (error) {
      if (this.#worker === worker) this.#worker = undefined;
      await worker.terminate();
      throw new OfflineFolderError(directory, error);
    }
  }

  query<Row>(text: string, parameters: readonly unknown[] = []): Promise<readonly Row[]> {
    return this.#answer('query', text, parameters) as Promise<readonly Row[]>;
  }

  async script(text: string): Promise<void> {
    await this.#answer('script', text, []);
  }

  async transaction(statements: readonly SqlStatement[]): Promise<readonly (readonly unknown[])[] | undefined> {
    const [answers] = await this.#answer('transaction', '', statements);
    return (answers as readonly (readonly unknown[])[] | null) ?? undefined;
  }

  /** Writes all tables and statistics anew, and ends with an empty write-ahead log: the bytes of rows that were deleted are gone. */
  async compact(): Promise<void> {
    const tables = await this.query<{ readonly name: string }>(
      `SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind = 'r' AND n.nspname = current_schema()`,
    );
    for (const { name } of tables) await this.query(`VACUUM (FULL) ${name}`);
    // Statistics of columns hold values: those of before go last.
    await this.query('ANALYZE');
    const emptyLog = ['SELECT pg_switch_wal()', 'CHECKPOINT'];
    for (const statement of ['VACUUM (FULL) pg_statistic', ...emptyLog, ...emptyLog]) await this.query(statement);
  }

  async copyFiles(folder: string): Promise<void> {
    await this.#answer('copy', folder, []);
  }

  /** PostgreSQL ends itself when it cannot write its log, as on a full disk: it is started again, and recovers. */
  async #answer(
    kind: Exclude<PgliteRequest['kind'], 'close'>,
    text: string,
    parameters: readonly unknown[],
  ): Promise<readonly unknown[]> {
    if (this.#worker === undefined && this.#lock !== undefined && !this.#isClosing) {
      this.#connecting ??= this.#connect(this.#directory).finally(() => {
        this.#connecting = undefined;
      });
      try {
        await this.#connecting;
      } catch (error) {
        throw new OfflineStoreError('answer: PGlite has ended and does not open again', error, 'transient');
      }
    }
    return this.#ask(kind, text, parameters);
  }

  #ask(kind: PgliteRequest['kind'], text: string, parameters: readonly unknown[]): Promise<readonly unknown[]> {
    return new Promise((resolve, reject) => {
      const worker = this.#worker;
      if (kind !== 'close') this.#lock?.check();
      if (worker === undefined) {
        reject(new OfflineStoreError('answer', new Error('PGlite is not open'), 'target'));
        return;
      }
      const id = this.#nextId++;
      this.#waiting.set(id, { resolve, reject });
      worker.postMessage({ id, kind, text, parameters } satisfies PgliteRequest);
    });
  }

  async #disconnect(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) return;
    await withinDeadline('closing PGlite', CLOSE_MS, this.#ask('close', '', [])).catch(() => {});
    this.#worker = undefined;
    await worker.terminate();
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#disconnect();
    await this.#lock?.release();
    this.#lock = undefined;
  }
}
