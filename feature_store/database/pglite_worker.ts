import { constants, cpSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { PGlite } from '@electric-sql/pglite';
import { type FailureClass, failureClassOf, sqlFailure } from '#connectors/failure_class';
import { messageOf } from '#kernel/errors';
import type { SqlStatement } from './sql_executor.ts';

/** A statement to run; `script` ones have no parameters and no result; the parameters of a `transaction` are its statements; the text of a `copy` is a folder. */
export interface PgliteRequest {
  readonly id: number;
  readonly kind: 'query' | 'script' | 'transaction' | 'copy' | 'close';
  readonly text: string;
  readonly parameters: readonly unknown[];
}

export type PgliteAnswer =
  | { readonly id: number; readonly rows: readonly unknown[] }
  | { readonly id: number; readonly error: string; readonly failure: FailureClass };

if (parentPort === null) throw new Error('pglite_worker is for worker threads');
const port = parentPort;
const { directory } = workerData as { readonly directory: string };
// One connection on one thread: PostgreSQL's own 128 MB of buffers would double what the operating system caches anyway.
const database = PGlite.create(directory, {
  // Times without a zone are UTC, whatever the machine's zone.
  startParams: [
    ...PGlite.defaultStartParams,
    '-c',
    'shared_buffers=16MB',
    '-c',
    'wal_recycle=off',
    '-c',
    'TimeZone=UTC',
  ],
});

async function run(request: PgliteRequest): Promise<readonly unknown[]> {
  const db = await database;
  if (request.kind === 'close') {
    await db.close();
    return [];
  }
  if (request.kind === 'script') {
    await db.transaction(async (transaction) => {
      await transaction.exec(request.text);
    });
    return [];
  }
  if (request.kind === 'copy') {
    await db.query('CHECKPOINT');
    // The database runs on this thread: it writes nothing before this returns, and a start from the copy is one after a crash at this moment.
    cpSync(directory, request.text, { recursive: true, preserveTimestamps: true, mode: constants.COPYFILE_FICLONE });
    return [];
  }
  if (request.kind === 'transaction') return [await inTransaction(db, request.parameters as readonly SqlStatement[])];
  const { rows } = await db.query(request.text, [...request.parameters]);
  return rows;
}

/** @returns the rows of each statement; null when one that must return rows returned none */
function inTransaction(db: PGlite, statements: readonly SqlStatement[]): Promise<readonly unknown[][] | null> {
  return db.transaction(async (transaction) => {
    const answers: unknown[][] = [];
    for (const { text, parameters = [], mustReturn } of statements) {
      const { rows } = await transaction.query(text, [...parameters]);
      if (mustReturn === true && rows.length === 0) {
        await transaction.rollback();
        return null;
      }
      answers.push(rows);
    }
    return answers;
  });
}

port.on('message', (request: PgliteRequest) => {
  run(request).then(
    (rows) => port.postMessage({ id: request.id, rows } satisfies PgliteAnswer),
    (error: unknown) => {
      const answer = { id: request.id, error: messageOf(error), failure: failureOf(error) };
      port.postMessage(answer satisfies PgliteAnswer);
    },
  );
});

function failureOf(error: unknown): FailureClass {
  const { code } = error as { readonly code?: string };
  return code === undefined ? failureClassOf(error) : sqlFailure(code);
}
