import { expect, test } from '@jest/globals';
import { checkSequence } from '#scripts/chaos/features/check_sequence';
import { chaosFeatures } from '#scripts/chaos/features/run';
import type { Step } from '#scripts/chaos/features/sequence';
import { byForm } from '../../../support/jest/forms.ts';

// The short form of `npm run test:chaos -- features`: definition changes, restarts, kills, back-fills that hand over, late, repeated and out-of-order events against a slow oracle.

const SEQUENCES = byForm({ short: 300, long: 600 });

test('whatever changes and whenever it restarts, rows are what the slow oracle computes from scratch', async () => {
  const lines: string[] = [];
  const seed = Number(process.env.CHAOS_SEED ?? Date.now() % 1_000_000);
  const options = { seed, sequences: SEQUENCES, resume: undefined, round: undefined, only: undefined };
  const { passed } = await chaosFeatures({ ...options, log: (line) => lines.push(line) });
  // A failing sequence is printed, shrunk, with how to run it again.
  expect({ passed, lines: passed === SEQUENCES ? [] : lines }).toEqual({ passed: SEQUENCES, lines: [] });
}, 300_000);

const events = (...amounts: readonly number[]): Step => ({
  kind: 'events',
  events: amounts.map((amount) => ({ account: 'a', ageMs: 1_000, amount, merchant: `m${amount}` })),
});

/** Each found a fault once. */
const FOUND: Readonly<Record<string, Parameters<typeof checkSequence>[0]>> = {
  'a window put before another one with an equal filter': {
    features: ['sum large 24h'],
    steps: [events(69), { kind: 'restart', features: ['sum large 7d', 'sum large 24h'] }, events(15)],
  },
  'the field of a window becomes a feature too': {
    features: ['distinct 7d'],
    steps: [events(1), { kind: 'restart', features: ['distinct 7d', 'merchant'] }, events(2)],
  },
};

test.each(Object.entries(FOUND))('%s: what it had counted stays', async (_, sequence) => {
  expect(await checkSequence(sequence)).toBeUndefined();
});
