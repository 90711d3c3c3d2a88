import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { checkWritable } from '#connectors/disk';
import { ConnectionError } from '#connectors/errors';
import { storeProblemOf } from '#connectors/store_problem';
import { OfflineStoreError, OnlineStoreError } from '#feature_store/errors';

const coded = (code: string, message = 'x'): Error => Object.assign(new Error(message), { code });

test.each([
  ['read_only', new Error("READONLY You can't write against a read only replica.")],
  ['read_only', new Error('ERR Error running script: -READONLY You cannot write')],
  ['out_of_memory', new Error("OOM command not allowed when used memory > 'maxmemory'.")],
  ['full', new Error('MISCONF Redis is configured to save RDB snapshots, but it is unable to persist to disk')],
  ['refused', new Error('NOAUTH Authentication required.')],
  ['unreachable', new Error('LOADING Redis is loading the dataset in memory')],
  ['unreachable', new Error('connect ECONNREFUSED 127.0.0.1:6379')],
  ['read_only', coded('25006', 'cannot execute INSERT in a read-only transaction')],
  ['full', coded('53100', 'could not extend file')],
  ['out_of_memory', coded('53300', 'too many connections')],
  ['refused', coded('42501', 'permission denied for table feature_rows')],
  ['refused', coded('28P01', 'password authentication failed')],
  ['full', coded('ENOSPC')],
  ['full', coded('EDQUOT')],
  ['read_only', coded('EROFS')],
  ['out_of_memory', coded('EMFILE')],
  ['unreachable', coded('ECONNRESET')],
  ['unreachable', 'no error at all'],
] as const)('%s: %s', (problem, error) => {
  expect(storeProblemOf(error)).toBe(problem);
  // However deep it is wrapped.
  expect(storeProblemOf(new OfflineStoreError('write', error, 'transient'))).toBe(problem);
  expect(storeProblemOf(new OnlineStoreError('write', new ConnectionError('Redis', error)))).toBe(problem);
});

test('a folder that takes a file is writable, and nothing is left in it; one that is missing is not', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'disk-'));
  await checkWritable(directory);
  expect(readdirSync(directory)).toEqual([]);
  rmSync(directory, { recursive: true });
  await expect(checkWritable(directory)).rejects.toMatchObject({ code: 'ENOENT' });
});
