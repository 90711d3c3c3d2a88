import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { SqlExecutor } from '#feature_store/database/sql_executor';
import { TaskError, task } from '#workflows/tasks/task';
import type { WorkflowWorker } from '#workflows/worker/workflow_worker';
import { ASL_CASES, ASL_DIFFERENCES, ECHO, NO_TABLE, NO_TABLE_ERROR } from '../support/guests/asl_corpus.ts';
import { type AslOutcome, interpretedByMoto } from '../support/guests/asl_guest.ts';
import { createWorker, ended, openPglite, startRun } from '../support/platforms/workflow_platform.ts';

// Another interpreter of the Amazon States Language, moto's, runs the same documents.

let database: { readonly sql: SqlExecutor; close(): Promise<void> };
let worker: WorkflowWorker;
let oracle: Readonly<Record<string, AslOutcome>>;
const own = new Map<string, AslOutcome>();

const tasks = [
  task(ECHO, (input) => input),
  task(NO_TABLE, () => {
    throw new TaskError(NO_TABLE_ERROR, 'Requested resource not found');
  }),
].map((each) => ({ ...each, id: each.name }));

beforeAll(async () => {
  [database, oracle] = await Promise.all([openPglite(), interpretedByMoto(ASL_CASES)]);
  worker = createWorker(database.sql, tasks, { concurrency: 32 });
  await worker.start();
  for (const { name, document, input } of ASL_CASES) await startRun(worker.store, name, document, input);
  for (const { name } of ASL_CASES) {
    const { status, output, error, cause } = await ended(worker.store, name);
    own.set(
      name,
      status === 'succeeded'
        ? { status: 'SUCCEEDED', output: output ?? null }
        : { status: 'FAILED', error: error ?? '', cause: cause ?? '' },
    );
  }
}, 400_000);

afterAll(async () => {
  await worker?.stop();
  await database?.close();
});

/** The document's own words; what an interpreter says about an error of its own differs. */
const isOwnCause = (error: string | undefined): boolean => error !== undefined && !/^(States\.|DynamoDB\.)/.test(error);

describe('the interpreter and moto agree', () => {
  test('on at least 60 documents', () => {
    expect(ASL_CASES.length).toBeGreaterThanOrEqual(60);
    expect(new Set(ASL_CASES.map(({ name }) => name)).size).toBe(ASL_CASES.length);
  });

  test.each(ASL_CASES.map(({ name }) => name))('%s', (name) => {
    const [mine, theirs] = [own.get(name), oracle[name]];
    if (mine === undefined || theirs === undefined) throw new Error(`${name} did not run in both`);
    const { cause: myCause, ...outcome } = mine;
    const { cause: theirCause, ...expected } = theirs;
    const difference = ASL_DIFFERENCES[name];
    if (difference !== undefined) {
      expect(outcome).toEqual(difference.outcome);
      // Gone when moto follows the specification.
      expect(expected).not.toEqual(difference.outcome);
      return;
    }
    expect(outcome).toEqual(expected);
    if (isOwnCause(mine.error)) expect(myCause).toBe(theirCause);
  });
});
