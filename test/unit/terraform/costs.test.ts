import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { costsOf, ENVIRONMENTS, type Load, type Sizes, totalOf } from '#scripts/terraform/costs';

const SIZES: Sizes = {
  ...{ zones: 3, survivesAZone: true, hoursAWeek: 168 },
  ...{ nodeType: 'm7i.large', nodes: 2, spotNodes: 0 },
  ...{ kafkaType: 'kafka.m7g.large', kafkaDiskGb: 100, redisType: 'cache.m7g.large', redisShards: 1, redisReplicas: 1 },
  ...{ postgresClass: 'db.m7g.large', postgresDiskGb: 50, readReplicas: 0, mlflowClass: 'db.t4g.small' },
};
const NO_LOAD: Load = {
  ...{ eventsPerSecond: 0, bytesPerEvent: 500, keptDays: 30, predictionsPerSecond: 0, bytesPerPrediction: 1000 },
};

test('a part costs its price by the hours of a month and its number', () => {
  const costs = costsOf(SIZES, NO_LOAD);
  expect(costs.redis).toBeCloseTo(0.188 * 2 * 730, 5);
  expect(costs.kafka).toBeCloseTo(3 * (0.245 * 730 + 0.119 * 100), 5);
  expect(costs.postgres).toBeCloseTo((0.2 + 0.037) * 2 * 730 + 0.137 * 70 * 2, 5);
  expect(costs.s3).toBe(0);
  expect(totalOf(costs)).toBeCloseTo(
    Object.values(costs).reduce((sum, part) => sum + part),
    5,
  );
});

test('kept events cost storage in proportion to their rate, size and days', () => {
  const of = (load: Partial<Load>): number => costsOf(SIZES, { ...NO_LOAD, eventsPerSecond: 1000, ...load }).s3;
  // 1,000 events/s of 500 bytes are 43.2 GB a day.
  expect(of({})).toBeCloseTo(0.0245 * 43.2 * 30, 1);
  expect(of({ keptDays: 60 })).toBeCloseTo(2 * of({}), 5);
  expect(of({ bytesPerEvent: 1000 })).toBeCloseTo(2 * of({}), 5);
});

test('a schedule saves what can be stopped: nodes and databases, not Kafka and Redis', () => {
  const always = costsOf(SIZES, NO_LOAD);
  const days = costsOf({ ...SIZES, hoursAWeek: 65 }, NO_LOAD);
  expect(days.kafka).toBe(always.kafka);
  expect(days.redis).toBe(always.redis);
  expect(days.kubernetes).toBeLessThan(always.kubernetes);
  expect(days.postgres).toBeLessThan(always.postgres);
});

test('a type without a price is named', () => {
  expect(() => costsOf({ ...SIZES, nodeType: 'x9.huge' }, NO_LOAD)).toThrow('there is no price of "x9.huge"');
});

test.each(['dev', 'staging', 'prod'] as const)(
  'the sizes of %s are those of infra, and its budget covers them',
  (name) => {
    const { sizes, load } = ENVIRONMENTS[name];
    const source = readFileSync(assetPath(`infra/aws/environments/${name}/main.tf`), 'utf8');
    const argumentOf = (argument: string): string => new RegExp(`^ +${argument} += (.+)$`, 'm').exec(source)?.[1] ?? '';
    expect(JSON.parse(argumentOf('node_types'))).toEqual([sizes.nodeType]);
    expect({
      kafkaType: JSON.parse(argumentOf('kafka_type')),
      kafkaDiskGb: Number(argumentOf('kafka_disk_gib')),
      postgresClass: JSON.parse(argumentOf('postgres_class')),
      postgresDiskGb: Number(argumentOf('postgres_disk_gib')),
      readReplicas: Number(argumentOf('postgres_read_replicas')),
      mlflowClass: JSON.parse(argumentOf('mlflow_class')),
      redisType: JSON.parse(argumentOf('redis_type')),
      redisShards: Number(argumentOf('redis_shards')),
      redisReplicas: Number(argumentOf('redis_replicas')),
      survivesAZone: argumentOf('survives_a_zone') === 'true',
      hasSchedule: argumentOf('stops_at_night') === 'true',
      keptDays: Number(argumentOf('keep_events_days')),
    }).toEqual({
      kafkaType: sizes.kafkaType,
      kafkaDiskGb: sizes.kafkaDiskGb,
      postgresClass: sizes.postgresClass,
      postgresDiskGb: sizes.postgresDiskGb,
      readReplicas: sizes.readReplicas,
      mlflowClass: sizes.mlflowClass,
      redisType: sizes.redisType,
      redisShards: sizes.redisShards,
      redisReplicas: sizes.redisReplicas,
      survivesAZone: sizes.survivesAZone,
      hasSchedule: sizes.hoursAWeek < 168,
      keptDays: load.keptDays,
    });
    const total = totalOf(costsOf(sizes, load));
    const budget = Number(argumentOf('monthly_budget_usd'));
    expect(budget).toBeGreaterThan(total);
    expect(budget).toBeLessThan(total * 2);
  },
);

test('docs/aws.md has the figures of the formula', () => {
  const page = readFileSync(assetPath('docs/aws.md'), 'utf8');
  for (const [name, { sizes, load }] of Object.entries(ENVIRONMENTS)) {
    const costs = costsOf(sizes, load);
    const cells = [...Object.values(costs), totalOf(costs)].map((cost) => Math.round(cost).toLocaleString('en-US'));
    expect(page).toContain(`| ${name} | ${cells.join(' | ')} |`);
  }
});
