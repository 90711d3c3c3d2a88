import { expect, test } from '@jest/globals';
import { Random } from '#kernel/random';
import { populationStability } from '#monitoring/drift/population_stability';
import { compare, meanOutcome } from '#serving/experiments/comparison';
import { resultsOf } from '#serving/experiments/results';
import { thompsonShares } from '#serving/experiments/thompson';
import type { ExperimentOutcomes } from '#serving/prediction_store/feedback_store';
import { experimentSchema } from '#serving/routing/assignment';

const experiment = experimentSchema.parse({
  name: 'lift',
  variants: [
    { name: 'control', weight: 1 },
    { name: 'challenger', weight: 1 },
  ],
});

/** Entities with several predictions each, whose outcomes hang together. */
class Population {
  readonly #units: { readonly n: number; readonly total: number }[] = [];

  add(random: Random, rate: number): void {
    const own = Math.min(1, Math.max(0, rate + random.between(-0.05, 0.05)));
    const n = random.integer(1, 6);
    let total = 0;
    for (let at = 0; at < n; at += 1) total += random.chance(own) ? 1 : 0;
    this.#units.push({ n, total });
  }

  outcomes(variant: string): ExperimentOutcomes {
    const sum = (of: (unit: { n: number; total: number }) => number) =>
      this.#units.reduce((all, unit) => all + of(unit), 0);
    return {
      variant,
      predictions: sum(({ n }) => n),
      assignedUnits: this.#units.length,
      units: this.#units.length,
      outcomes: sum(({ n }) => n),
      total: sum(({ total }) => total),
      totalSquared: sum(({ total }) => total * total),
      outcomesSquared: sum(({ n }) => n * n),
      product: sum(({ n, total }) => n * total),
    };
  }

  get units(): readonly { readonly n: number; readonly total: number }[] {
    return this.#units;
  }
}

const judge = (control: Population, challenger: Population) =>
  resultsOf({ model: 'm', experiment, outcome: 'value' }, [
    challenger.outcomes('challenger'),
    control.outcomes('control'),
  ]);

test('no difference, looked at fifty times: the z-test is fooled, the sequential one seldom', () => {
  const random = new Random(4);
  let [fooled, sequentiallyFooled] = [0, 0];
  const runs = 200;
  for (let run = 0; run < runs; run += 1) {
    const [control, challenger] = [new Population(), new Population()];
    let [once, winner] = [false, false];
    for (let look = 0; look < 50; look += 1) {
      for (let unit = 0; unit < 20; unit += 1) {
        control.add(random, 0.2);
        challenger.add(random, 0.2);
      }
      const results = judge(control, challenger);
      once ||= (results.variants[1]?.comparison?.pValue ?? 1) < 0.05;
      winner ||= results.winner !== undefined;
    }
    if (once) fooled += 1;
    if (winner) sequentiallyFooled += 1;
  }
  expect(fooled / runs).toBeGreaterThan(0.15);
  expect(sequentiallyFooled / runs).toBeLessThanOrEqual(0.05);
});

test('a real lift is found, and the right one wins; looked at once, the z-test keeps its level', () => {
  const random = new Random(5);
  const [control, challenger] = [new Population(), new Population()];
  for (let unit = 0; unit < 4_000; unit += 1) {
    control.add(random, 0.2);
    challenger.add(random, 0.25);
  }
  const results = judge(control, challenger);
  expect(results.winner).toBe('challenger');
  expect(results.variants[1]?.comparison?.difference).toBeCloseTo(0.05, 1);
  expect(results.variants[1]?.comparison?.interval[0]).toBeGreaterThan(0);
  expect(judge(challenger, control).winner).toBe('control');

  let wrong = 0;
  for (let run = 0; run < 400; run += 1) {
    const [one, other] = [new Population(), new Population()];
    for (let unit = 0; unit < 200; unit += 1) {
      one.add(random, 0.3);
      other.add(random, 0.3);
    }
    if ((judge(one, other).variants[1]?.comparison?.pValue ?? 1) < 0.05) wrong += 1;
  }
  expect(wrong / 400).toBeLessThan(0.08);
});

test('the variance of a mean is what resampling entities gives', () => {
  const random = new Random(6);
  const population = new Population();
  for (let unit = 0; unit < 400; unit += 1) population.add(random, 0.2 + 0.6 * (unit % 2));
  const { mean, variance } = meanOutcome(population.outcomes('x'));
  const means = Array.from({ length: 2_000 }, () => {
    let [total, n] = [0, 0];
    for (let at = 0; at < 400; at += 1) {
      const unit = random.pick(population.units);
      total += unit.total;
      n += unit.n;
    }
    return total / n;
  });
  const spread = Math.sqrt(means.reduce((sum, each) => sum + (each - mean) ** 2, 0) / means.length);
  expect(Math.sqrt(variance) / spread).toBeGreaterThan(0.93);
  expect(Math.sqrt(variance) / spread).toBeLessThan(1.07);
});

test('little is known: nothing is said; dealt otherwise than configured: said', () => {
  const [few, many] = [new Population(), new Population()];
  const random = new Random(7);
  for (let unit = 0; unit < 10; unit += 1) few.add(random, 0.2);
  for (let unit = 0; unit < 900; unit += 1) many.add(random, 0.2);
  const results = judge(few, many);
  expect(results.variants.map(({ comparison }) => comparison)).toEqual([undefined, undefined]);
  expect(results.winner).toBeUndefined();
  expect(results.sampleRatio).toMatchObject({ mismatch: true });
  expect(judge(many, many).sampleRatio).toMatchObject({ mismatch: false, pValue: 1 });
  expect(
    compare({ mean: 1, variance: 0 }, { mean: 2, variance: 0 }, { alpha: 0.05, mixtureVariance: 1 }),
  ).toBeUndefined();
  expect(resultsOf({ model: 'm', experiment, outcome: 'value' }, []).variants[0]).toMatchObject({ mean: undefined });
});

test('shares of a bandit are the probabilities of being best', () => {
  const random = new Random(8);
  const arms = [
    { mean: 0.2, variance: 0.02 ** 2 },
    { mean: 0.22, variance: 0.03 ** 2 },
    { mean: 0.1, variance: 0.05 ** 2 },
  ];
  const normal = () => Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
  const best = [0, 0, 0];
  const draws = 200_000;
  for (let draw = 0; draw < draws; draw += 1) {
    const values = arms.map(({ mean, variance }) => mean + Math.sqrt(variance) * normal());
    const at = values.indexOf(Math.max(...values));
    best[at] = (best[at] as number) + 1;
  }
  for (const [index, share] of thompsonShares(arms, 0).entries()) {
    expect(share).toBeCloseTo((best[index] as number) / draws, 2);
  }
  expect(thompsonShares([undefined, undefined], 0.1)).toEqual([0.5, 0.5]);
  const floored = thompsonShares(
    [
      { mean: 0, variance: 1e-6 },
      { mean: 1, variance: 1e-6 },
    ],
    0.05,
  );
  expect(floored[0]).toBeCloseTo(0.05, 6);
});

test('a bandit gives the best of three most of the traffic', () => {
  const random = new Random(9);
  const rates = [0.05, 0.08, 0.15];
  const arms = rates.map(() => new Population());
  let shares: readonly number[] = [1 / 3, 1 / 3, 1 / 3];
  let [last, toBest] = [0, 0];
  for (let round = 0; round < 40; round += 1) {
    for (let unit = 0; unit < 250; unit += 1) {
      const arm = random.weighted(shares);
      (arms[arm] as Population).add(random, rates[arm] as number);
      if (round >= 20) {
        last += 1;
        if (arm === 2) toBest += 1;
      }
    }
    shares = thompsonShares(
      arms.map((arm) => (arm.units.length < 30 ? undefined : meanOutcome(arm.outcomes('x')))),
      0.02,
    );
  }
  expect(toBest / last).toBeGreaterThan(0.8);
});

test('the population stability index: nothing for the same, by hand, and by chance about what it should be', () => {
  expect(populationStability([1, 2, 3, 4], [1, 2, 3, 4], 2)).toBe(0);
  // Half and half against three quarters: 2.5, 2.5 of 5 and 1.5, 3.5 of 5.
  expect(populationStability([1, 1, 2, 2], [1, 2, 2, 2], 2)).toBeCloseTo(
    0.2 * Math.log(0.5 / 0.3) + 0.2 * Math.log(0.7 / 0.5),
    10,
  );
  const random = new Random(3);
  const draw = (count: number) => Array.from({ length: count }, () => random.next());
  const indices = Array.from({ length: 200 }, () => populationStability(draw(1_000), draw(200)));
  const mean = indices.reduce((sum, each) => sum + each, 0) / 200;
  expect(mean).toBeGreaterThan(0.03);
  expect(mean).toBeLessThan(0.08);
  expect(
    populationStability(
      draw(1_000),
      draw(200).map((value) => value + 0.3),
    ),
  ).toBeGreaterThan(0.25);
});
