import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { type ContractSources, checkContract } from '#feature_store/contracts/check_contract';
import { ContractMonitor } from '#feature_store/contracts/contract_monitor';
import { field } from '#feature_store/definitions/feature';
import { featureView } from '#feature_store/definitions/feature_view';
import { inRange } from '#feature_store/definitions/rules/quality_rule';
import type { ViewContract } from '#feature_store/definitions/rules/view_contract';
import { entity, source } from '#feature_store/definitions/sources/source';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import { FeatureTest } from '#feature_store/testing/feature_test';
import { type EventTime, HOUR_MS, type ProcessingTime } from '#kernel/time';
import type { Duration } from '#kernel/times/duration';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';

const NOW = Date.parse('2026-01-05T12:00:00Z');

const viewWith = (contract: ViewContract) =>
  featureView({
    ...{ name: 'spending', version: 1, ttl: '1d', owner: 'o', description: 'd', contract },
    entity: entity('account', ['account']),
    source: source('payments', {
      schema: z.object({
        account: z.string(),
        amount: z.number().optional(),
        shop: z.string().optional(),
        at: z.string(),
      }),
      ...{ id: { from: ['account', 'at'] }, timestamp: 'at', key: 'account' },
    }),
    features: { amount: field('amount', 'double', 'Amount'), shop: field('shop', 'string', 'Shop') },
    rules: { plausible: inRange('amount', { min: 0, max: 100 }, 'warn') },
  });

const rowsOf = (rows: readonly (readonly [hoursAgo: number, amount: number | null, shop: string | null])[]) =>
  rows.map(
    ([hoursAgo, amount, shop], at) =>
      ({
        entityKey: `account:${at}`,
        eventTime: NOW - hoursAgo * HOUR_MS,
        values: { amount, shop },
      }) as unknown as FeatureRow,
  );

const history = (rows: readonly FeatureRow[], windowsHoursAgo: readonly number[] = []) =>
  ({
    statistics: {
      list: async () => windowsHoursAgo.map((ago) => ({ windowStartMs: NOW - ago * HOUR_MS, windowMs: HOUR_MS })),
    },
    features: {
      timesOf: async () =>
        rows.length === 0
          ? undefined
          : { oldest: 0 as EventTime, newest: Math.max(...rows.map((row) => row.eventTime)) },
      rowsBetween: async (_: unknown, { from, to }: { from: number; to: number }) =>
        rows.filter(({ eventTime }) => eventTime >= from && eventTime < to),
    },
  }) as unknown as ContractSources;

const found = async (contract: ViewContract, rows: readonly FeatureRow[]) =>
  (await checkContract(history(rows), viewWith(contract), NOW)).map(({ term, feature = '', found, holds }) => [
    ...[term, feature, found, holds],
  ]);

test('a contract holds on good rows, and names each term that bad rows break', async () => {
  const contract = { freshWithin: '2h', mostMissing: { amount: 0.25 }, mostViolations: 0.25 } as const;
  const good = [
    [1, 5, 's'],
    [3, 6, 's'],
    [4, 7, null],
    [5, null, 's'],
  ] as const;
  expect(await found(contract as ViewContract, rowsOf(good))).toEqual([
    ['freshness', '', HOUR_MS, true],
    ['missing', 'amount', 0.25, true],
    ['violations', '', 0, true],
  ]);
  const bad = [
    [3, 500, 's'],
    [3, null, 's'],
    [4, null, 's'],
    [5, -1, 's'],
  ] as const;
  expect(await found(contract as ViewContract, rowsOf(bad))).toEqual([
    ['freshness', '', 3 * HOUR_MS, false],
    ['missing', 'amount', 0.5, false],
    ['violations', '', 0.5, false],
  ]);
});

test('rows before the time that a contract looks back do not count; a share is of every feature or by feature', async () => {
  const rows = rowsOf([
    [1, 5, null],
    [30, null, null],
  ]);
  expect(await found({ mostMissing: 0.5 }, rows)).toEqual([
    ['missing', 'amount', 0, true],
    ['missing', 'shop', 1, false],
  ]);
  expect(await found({ mostMissing: 0.5, over: '48h' as Duration }, rows)).toEqual([
    ['missing', 'amount', 0.5, true],
    ['missing', 'shop', 1, false],
  ]);
});

test('without rows freshness is broken and shares hold; without a contract nothing is read', async () => {
  expect(await found({ freshWithin: '1h' as Duration, mostMissing: { amount: 0 } }, [])).toEqual([
    ['freshness', '', null, false],
    ['missing', 'amount', null, true],
  ]);
  expect(await found({}, rowsOf([[1, null, null]]))).toEqual([]);
});

test('rows that are written because events leave a window do not make a view fresh', async () => {
  // The newest row is of now; the newest event is of a window that ended four hours ago.
  const offline = history(rowsOf([[0, 5, 's']]), [5]);
  const [term] = await checkContract(offline, viewWith({ freshWithin: '2h' as Duration }), NOW);
  expect(term).toMatchObject({ term: 'freshness', found: 4 * HOUR_MS, holds: false });
});

test('a contract with unknown features, or shares beyond 0 and 1, is refused with all problems', () => {
  expect(() => viewWith({ mostMissing: { price: 0.1, amount: 2 }, mostViolations: -1 })).toThrow(
    /no feature "price"[\s\S]*amount is a share between 0 and 1, not 2[\s\S]*mostViolations is a share/,
  );
});

test('the metric is 1 for a broken term, and 0 again once it holds', async () => {
  const metrics = createMetricsRegistry();
  let rows = rowsOf([[3, 5, 's']]);
  const monitor = new ContractMonitor(
    {
      ...{ metrics, log: silentLogger, clock: { now: () => NOW as ProcessingTime } },
      views: [viewWith({ freshWithin: '2h' as Duration })],
      offline: {
        statistics: history([]).statistics,
        get features() {
          return history(rows).features;
        },
      },
    },
    { intervalMs: 60_000 },
  );
  const value = async () => /view_contract_broken\{.*\} (\d)/.exec(await metrics.metrics())?.[1];
  await monitor.check();
  expect(await value()).toBe('1');
  rows = rowsOf([[1, 5, 's']]);
  await monitor.check();
  expect(await value()).toBe('0');
});

test('a test of a project sees what its spoilt events break', async () => {
  const view = viewWith({ freshWithin: '2h' as Duration, mostMissing: { amount: 0.5 }, mostViolations: 0.4 });
  const features = new FeatureTest([view], { now: '2026-01-05T12:00:00Z' });
  const pay = (account: string, fields: object) =>
    features.ingest({ event_type: 'payments', account, at: features.now, shop: 's', ...fields });
  expect(await features.brokenTerms(view)).toEqual(['freshness']);
  pay('a', { amount: 5 });
  pay('b', { amount: 6 });
  expect(await features.brokenTerms(view)).toEqual([]);
  for (const account of ['c', 'd', 'e']) pay(account, {});
  expect(await features.brokenTerms(view)).toEqual(['missing amount']);
  for (const account of ['c', 'd', 'e']) {
    features.advance('1m');
    pay(account, { amount: 1e6 });
  }
  expect(await features.brokenTerms(view)).toEqual(['violations']);
  features.advance('3h');
  expect(await features.brokenTerms(view)).toEqual(['freshness', 'violations']);
});
