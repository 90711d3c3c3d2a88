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

const isSleepy = (text: string): boolean => [...SLEEPS, ...WALL_CLOCK].some((pattern) => pattern.test(text));

test('unit tests neither sleep nor measure how long something takes', () => {
  const sleepy = [...readSources(projectRoot, ['test/unit'])]
    .filter(([file, text]) => !file.startsWith('test/unit/architecture/') && isSleepy(text))
    .map(([file]) => file);
  expect(sleepy).toEqual([]);
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
