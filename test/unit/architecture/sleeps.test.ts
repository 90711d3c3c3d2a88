import { expect, test } from '@jest/globals';
import { projectRoot } from '#kernel/project_root';
import { readSources } from '../../support/import_graph.ts';

/** Waits for a time, instead of for an event or a clock of the test. */
const SLEEPS = [
  /\bsetTimeout\(\s*resolve\b/,
  /\bsleep\(/,
  /\bawait\s+(?:setTimeout|wait|delay)\(/,
  /setTimeout as \w+\b[^;]*timers\/promises/,
];
/** Asserts how long something took, or until when it was done. */
const WALL_CLOCK = [
  /expect\([^;]*(?:performance|Date)\.now\(\)[^;]*\)\.(?:toBeLess|toBeGreater)/,
  /giveUpAt = (?:Date|performance)\.now\(\)/,
];

/** Files from before this rule, with what they have: a file is taken out when it is mended, and none comes in. */
const LEFT: ReadonlySet<string> = new Set([
  'test/unit/cli/request_ids.test.ts',
  'test/unit/connectors/gateway/spool.test.ts',
  'test/unit/connectors/kafka/idempotent_producer.test.ts',
  'test/unit/feature_store/online/fallback_store.test.ts',
  'test/unit/monitoring/health.test.ts',
  'test/unit/pipelines/jobs/erasure.test.ts',
  'test/unit/pipelines/jobs/reader_progress.test.ts',
  'test/unit/serving/batch/score_files.test.ts',
  'test/unit/serving/serving.test.ts',
  'test/unit/storage/folder_lock.test.ts',
  'test/unit/storage/upgrade.test.ts',
]);

const isSleepy = (text: string): boolean => [...SLEEPS, ...WALL_CLOCK].some((pattern) => pattern.test(text));

test('unit tests neither sleep nor measure how long something takes', () => {
  const sleepy = [...readSources(projectRoot, ['test/unit'])]
    .filter(([file, text]) => !file.startsWith('test/unit/architecture/') && isSleepy(text))
    .map(([file]) => file);
  expect(sleepy.filter((file) => !LEFT.has(file))).toEqual([]);
  expect([...LEFT].filter((file) => !sleepy.includes(file))).toEqual([]);
});

test.each([
  'await new Promise((resolve) => setTimeout(resolve, 10));',
  'await sleep(20);',
  'await setTimeout(5);',
  'expect(performance.now() - startedMs).toBeLessThan(500);',
  'const giveUpAt = Date.now() + 10_000;',
])('%s is found', (text) => {
  expect(isSleepy(text)).toBe(true);
});

test('a clock of the test is not a sleep', () => {
  expect(isSleepy('const clock = { now: () => Date.now() + aheadMs };')).toBe(false);
});
