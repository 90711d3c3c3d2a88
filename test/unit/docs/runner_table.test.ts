import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import {
  gapOf,
  mergeResults,
  RESULTS_FILE,
  RUNNERS,
  type RunnerResults,
  runnerSuite,
  runnerTable,
  TABLE_PAGE,
  titleOf,
  withRunnerTable,
} from '#scripts/writing/runner_table';

const results = JSON.parse(readFileSync(assetPath(RESULTS_FILE), 'utf8')) as RunnerResults;

test('results are of the cases that the suite has, on every runner: npm run test:runners writes them', () => {
  expect(Object.keys(results)).toEqual(runnerSuite.map(titleOf));
  const missing = Object.entries(results).flatMap(([title, of]) =>
    RUNNERS.filter((runner) => of[runner] === undefined).map((runner) => `${runner}: ${title}`),
  );
  expect(missing).toEqual([]);
});

test('the table of features by runner is that of the results', () => {
  const page = readFileSync(assetPath(TABLE_PAGE), 'utf8');
  expect(withRunnerTable(page, results)).toBe(page);
});

test('nothing failed, and what is not supported has a reason', () => {
  const without = Object.entries(results).flatMap(([title, of]) =>
    RUNNERS.filter((runner) => of[runner] !== 'passed')
      .filter((runner) => of[runner] === 'failed' || gapOf(runner, title) === undefined)
      .map((runner) => `${runner}: ${title}`),
  );
  expect(without).toEqual([]);
});

test('a run of some cases replaces their results alone; cases that are gone are left out', () => {
  const [first, second] = runnerSuite.map(titleOf) as [string, string];
  const merged = mergeResults(
    { [first]: { embedded: 'passed', flink: 'failed' }, [second]: { prism: 'passed' }, 'Gone: case': {} },
    { [first]: { flink: 'passed' } },
  );
  expect(merged[first]).toEqual({ embedded: 'passed', flink: 'passed' });
  expect(merged[second]).toEqual({ prism: 'passed' });
  expect(Object.keys(merged)).toEqual(runnerSuite.map(titleOf));
  expect(runnerTable(merged)).toContain(`Prism: "${first}" was not run`);
});
