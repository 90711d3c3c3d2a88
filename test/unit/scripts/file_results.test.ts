import { expect, test } from '@jest/globals';
import { type FileResult, FileResults } from '../../../scripts/checking/file_results.ts';

const result = (path: string, passed: number, failed: number): FileResult => ({
  path,
  passed,
  failed,
  seconds: 1,
  failures: Array.from({ length: failed }, (_, at) => ({ test: `${path} ${at}`, message: `why ${path}` })),
});

test('a file counts as it did the last time, and the summary keeps what failed the first time', () => {
  const results = new FileResults();
  const counts = results.add(
    [result('good', 3, 0), result('beside', 2, 1), result('broken', 1, 2)],
    [result('beside', 3, 0), result('broken', 1, 2)],
  );
  expect(counts).toEqual({ passed: 7, failed: 2 });
  const summary = results.summary();
  expect(summary).toContain('passed only when it was run again, alone: beside: beside 0\n    why beside');
  expect(summary).toContain('failed: broken: broken 1');
  expect(summary).not.toContain('failed: beside');
});

test('only a few files are run again: many failures are not the fault of what ran beside them', () => {
  const failed = Array.from({ length: 6 }, (_, at) => result(`f${at}`, 0, 1));
  expect(FileResults.toRunAgain([...failed.slice(0, 5), result('good', 1, 0)])).toHaveLength(5);
  expect(FileResults.toRunAgain(failed)).toEqual([]);
});
