import { expect, test } from '@jest/globals';
import { checkCompliance, problemsOf, problemsOfClaims, readControls } from '#scripts/checking/compliance';

const NOW = Date.UTC(2026, 10, 23);

test('every control has a proof, an owner and a review', () => {
  const { controls, problems } = checkCompliance(NOW);
  expect(controls).toBeGreaterThan(10);
  expect(problems).toEqual([]);
});

test('what is missing is named', () => {
  const [control] = readControls(
    '| control | met by | proof | owner | reviewed |\n| a | b | `no/such/file` |  | 2025-01-01 |',
  );
  expect(control).toEqual({ control: 'a', proof: 'no/such/file', owner: '', reviewed: '2025-01-01' });
  expect(problemsOf(control as NonNullable<typeof control>, NOW, new Set())).toEqual([
    'a: its proof no/such/file does not exist',
    'a: it has no owner',
    'a: reviewed 2025-01-01, longer ago than a year',
  ]);
});

test('a claim without a test, and a test that does not exist, are named', () => {
  const markdown = [
    '| check | test |',
    '|---|---|',
    '| one \\| two | `test/unit/docs/compliance.test.ts` |',
    '| three | soon |',
    '| four | `test/attack/never_written.test.ts`, `npm run no:such` |',
    '',
    'As `npm run test:chaos -- platform` shows, and `test/also_missing.test.ts`.',
    '| a | table without tests |',
    '| b | c |',
  ].join('\n');
  expect(problemsOfClaims('a.md', markdown, new Set(['test:chaos']))).toEqual([
    'a.md: "three" names no test',
    'a.md: test/attack/never_written.test.ts does not exist',
    'a.md: npm run no:such does not exist',
    'a.md: test/also_missing.test.ts does not exist',
  ]);
  expect(problemsOfClaims('a.md', 'nothing', new Set())).toEqual(['a.md: there is no table with tests']);
});
