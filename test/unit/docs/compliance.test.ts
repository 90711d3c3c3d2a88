import { expect, test } from '@jest/globals';
import { checkCompliance, problemsOf, readControls } from '#scripts/compliance';

const NOW = Date.UTC(2026, 10, 23);

test('every control has a proof, an owner and a review', () => {
  const { controls, problems } = checkCompliance(NOW);
  expect(controls).toBeGreaterThan(10);
  expect(problems).toEqual([]);
});

test('what is missing is told', () => {
  const [control] = readControls(
    '| control | met by | proof | owner | reviewed |\n| a | b | `no/such/file` |  | 2025-01-01 |',
  );
  expect(control).toEqual({ control: 'a', proof: 'no/such/file', owner: '', reviewed: '2025-01-01' });
  expect(problemsOf(control as NonNullable<typeof control>, NOW, new Set())).toEqual([
    'a: its proof no/such/file is not there',
    'a: nobody owns it',
    'a: reviewed 2025-01-01, longer ago than a year',
  ]);
});
