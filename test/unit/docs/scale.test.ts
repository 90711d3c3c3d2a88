import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { type Costs, planFor, TARGET } from '../../../bench/scale/plan.ts';

// docs/scale.md: its plan is what the formulas make of the costs in its first table.
const page = readFileSync(assetPath('docs/scale.md'), 'utf8');

const costs = Object.fromEntries(
  [...page.matchAll(/^\| `(\w+)` \|[^|]*\| ([\d,.]+) /gm)].map(([, name, value]) => [
    name,
    Number(value?.replaceAll(',', '')),
  ]),
) as unknown as Costs;

test('the page has a cost for every formula', () => {
  const names: readonly (keyof Costs)[] = [
    ...(['ingestUs', 'ingestBatchUs', 'featuresUs', 'pipelineUs', 'predictUs', 'predictByEntityUs'] as const),
    ...(['redisBytes', 'rowBytes', 'stateBytes'] as const),
  ];
  expect(Object.keys(costs).sort()).toEqual([...names].sort());
});

test('every figure of the plan is on the page', () => {
  for (const { what, value, unit } of planFor(TARGET, costs)) {
    const figure = `${value.toLocaleString('en', { maximumSignificantDigits: 3 })} ${unit}`;
    expect([what, page.includes(`| ${what} |`) && page.includes(`| ${figure} |`)]).toEqual([what, true]);
  }
});

test('twice the events are twice the cores, and ten times the entities ten times the memory', () => {
  const of = (target: Partial<typeof TARGET>, what: string): number =>
    planFor({ ...TARGET, ...target }, costs).find((each) => each.what === what)?.value ?? Number.NaN;
  const cores = 'stream, with reading and writing';
  expect(of({ eventsPerSecond: 2e6 }, cores) / of({}, cores)).toBeCloseTo(2, 1);
  expect(of({ entities: 1e9 }, 'Redis, rows') / of({}, 'Redis, rows')).toBeCloseTo(10, 5);
});
