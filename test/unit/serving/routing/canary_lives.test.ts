import { expect, test } from '@jest/globals';
import { LabelEvidence } from '#serving/routing/label_evidence';
import { simulateCanaries } from '../../../support/canary_lives.ts';
import { isLong } from '../../../support/jest/forms.ts';

// What the guardrails of a canary come to over its whole life, by simulation with fixed seeds: npm run test:long prints the table with more lives.

const LIVES = isLong ? 300 : 40;
const ROWS_A_STEP = isLong ? 2_000 : 300;
const POPULATIONS = isLong ? [30, 300, 3_000, 30_000] : [30, 2_000];
const FALSE_ALARMS = 0.01;

const lines: string[] = [];
const cells = (...values: readonly (string | number)[]): string =>
  values.map((value) => String(value).padStart(12)).join('');
const share = (count: number, of: number): string => `${((100 * count) / of).toFixed(1)} %`;
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

test('the same model is rolled back in one life of a hundred at most, of any population', () => {
  const found = POPULATIONS.map((entities) => {
    const { rolledBack } = simulateCanaries({
      ...{ lives: LIVES, entities, shift: 0, scoreShift: 0.01, rowsAStep: ROWS_A_STEP },
    });
    lines.push(cells(entities, 0, share(rolledBack, LIVES)));
    return rolledBack;
  });
  const all = found.reduce((sum, count) => sum + count, 0);
  expect(all / (LIVES * POPULATIONS.length)).toBeLessThanOrEqual(FALSE_ALARMS);
}, 3_600_000);

test('another model is: the larger the shift and the more entities, the surer', () => {
  const powers = new Map<string, number>();
  for (const entities of POPULATIONS.slice(1)) {
    for (const shift of isLong ? [0.1, 0.25, 0.5] : [0.5]) {
      const of = { lives: LIVES / 4, entities, shift, rowsAStep: ROWS_A_STEP };
      const seen = simulateCanaries({ ...of, scoreShift: 0.01 });
      const tolerated = simulateCanaries({ ...of, scoreShift: 0.25 });
      powers.set(`${entities} ${shift}`, seen.rolledBack / of.lives);
      lines.push(
        cells(
          entities,
          shift,
          share(seen.rolledBack, of.lives),
          share(tolerated.rolledBack, of.lives),
          median(seen.requests),
        ),
      );
    }
  }
  const head = cells('entities', 'shift (PSI)', 'seen', 'above 0.25', 'requests');
  if (isLong) process.stdout.write(`\n${head}\n${lines.join('\n')}\n`);
  const largest = POPULATIONS.at(-1) as number;
  expect(powers.get(`${largest} 0.5`)).toBeGreaterThan(0.9);
  if (isLong) expect(powers.get(`${largest} 0.25`)).toBeGreaterThan(0.8);
}, 3_600_000);

test('a slow canary is rolled back, also where one entity sends most of the requests', () => {
  const of = { lives: 10, entities: 1_000, shift: 0, scoreShift: 0.25, rowsAStep: ROWS_A_STEP };
  expect(simulateCanaries({ ...of, slower: 1 }).rolledBack).toBe(0);
  expect(simulateCanaries({ ...of, slower: 10 }).rolledBack).toBe(10);
}, 600_000);

test('arms without variance: alike they stay alike, apart they differ after some units', () => {
  const evidenceOf = (canary: number, control: number): number => {
    const evidence = new LabelEvidence();
    for (let unit = 0; unit < 100; unit += 1) evidence.see(unit % 2 === 0 ? canary : control, unit % 2 === 0, 0.5);
    return evidence.log;
  };
  expect(evidenceOf(0.3, 0.3)).toBeLessThan(1);
  expect(evidenceOf(0.7, 0.3)).toBeGreaterThan(Math.log(1_000));
});
