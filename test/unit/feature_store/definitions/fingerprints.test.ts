import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { count, session, sum } from '#feature_store/definitions/aggregations';
import { asOf, expression, type Feature, field, fromEvent, sincePrevious } from '#feature_store/definitions/feature';
import { type FeatureService, featureService, serviceOfView } from '#feature_store/definitions/feature_service';
import { type FeatureViewSpec, featureView } from '#feature_store/definitions/feature_view';
import { columns, onDemand, onDemandView } from '#feature_store/definitions/on_demand';
import { inRange } from '#feature_store/definitions/rules/quality_rule';
import { previousFingerprint } from '#feature_store/definitions/sets/previous_fingerprint';
import type { EventFields } from '#feature_store/definitions/sources/source';
import { entity, eventSource } from '#feature_store/definitions/sources/source';
import { serviceProblems } from '#serving/models/feature_check';
import { VIEWS } from '../../../support/definitions/all_definitions.ts';

/** Everything that a definition is made of, each a value that can be changed by itself. */
interface Parts {
  readonly description: string;
  readonly owner: string;
  readonly ruleName: string;
  readonly warnAt: number;
  readonly action: 'drop' | 'dead_letter';
  readonly isReversed: boolean;
  readonly isFormatted: boolean;
  readonly example: string;
  readonly isWider: boolean;
  readonly limit: number;
  readonly rate: number;
  readonly windowHours: 1 | 6 | 24;
  readonly aggregated: 'amount' | 'fee';
  readonly gap: '10m' | '30m';
  readonly ttl: '1d' | '30d';
  readonly largest: number;
  readonly eventType: string;
  readonly entity: string;
  readonly source: string;
  readonly field: 'country' | 'currency';
  readonly helper: (value: number) => number;
  readonly filter: (event: EventFields) => boolean;
  readonly formula: (row: Readonly<Record<string, unknown>>) => number;
  readonly dropsAbove: number;
  readonly requestType: 'double' | 'long';
  readonly unknown: 'refuse' | 'defaults';
  readonly version: number;
}

const BASE: Parts = {
  description: 'd',
  owner: 'risk',
  ruleName: 'plausible',
  warnAt: 10,
  action: 'drop',
  isReversed: false,
  isFormatted: false,
  example: 'EUR',
  isWider: false,
  limit: 100,
  rate: 2,
  windowHours: 1,
  aggregated: 'amount',
  gap: '30m',
  ttl: '30d',
  largest: 1_000,
  eventType: 'payment',
  entity: 'account',
  source: 'payments',
  field: 'country',
  helper: (value) => value * 2,
  filter: (event) => event.kind === 'card',
  formula: (row) => Number(row.count_1h) + 1,
  dropsAbove: 500,
  requestType: 'double',
  unknown: 'refuse',
  version: 1,
};

function define(parts: Parts): FeatureService {
  const { limit, rate, helper, description, owner } = parts;
  const account = entity(parts.entity, ['account_id']);
  const payments = eventSource({
    name: parts.source,
    eventTypes: [parts.eventType],
    schema: z.strictObject({
      account_id: z.string(),
      kind: z.string(),
      amount: z.number().max(parts.largest, parts.description),
      fee: z.number(),
      country: z.string(),
      currency: z.string(),
      at: z.string(),
      id: z.string(),
      ...(parts.isWider ? { note: z.string().optional() } : {}),
    }),
    schemaVersion: parts.isWider ? 2 : 1,
    eventIdField: 'id',
    timestampField: 'at',
    example: { currency: parts.example },
  });
  const features: Record<string, Feature> = {
    amount: field('amount', 'double', description),
    place: field(parts.field, 'string', description),
    large: fromEvent('boolean', description, (event) => Number(event.amount) > limit, { uses: { limit } }),
    doubled: fromEvent('double', description, ({ fee }) => helper(Number(fee)), { uses: { helper } }),
    rated: fromEvent(
      'double',
      description,
      parts.isFormatted
        ? (event) => {
            // A comment.
            return Number(event.amount) * rate;
          }
        : (event) => Number(event.amount) * rate,
      { version: parts.version },
    ),
    moved: sincePrevious('boolean', description, (event, _, previous) => previous?.event.country !== event.country),
    ...count({ what: description }).over('1h'),
    ...count({ as: 'cards', where: parts.filter }).over(`${parts.windowHours}h`),
    ...sum(parts.aggregated, { as: 'total' }).over('24h'),
    ...session(parts.gap),
    formula: expression(['count_1h', 'amount'], 'double', description, parts.formula),
    age: asOf(['amount'], 'double', description, (_, nowMs) => nowMs),
  };
  const entries = Object.entries(features);
  const spec: FeatureViewSpec<string> = {
    ...{ name: 'spending', version: 1, entity: account, source: payments, ttl: parts.ttl, owner, description },
    features: Object.fromEntries(parts.isReversed ? entries.reverse() : entries),
    rules: {
      [parts.ruleName]: inRange('amount', { max: parts.dropsAbove }, parts.action),
      watched: inRange('amount', { max: parts.warnAt }, 'warn'),
    },
  };
  const view = featureView(spec);
  const now = onDemandView({
    ...{ name: 'now', version: 1, entity: account, owner, description, inputs: [columns(view, 'amount')] },
    request: { paid: parts.requestType },
    features: { share: onDemand('double', description, ({ paid, amount }) => Number(paid) / Number(amount)) },
  });
  const all = [columns(view), now];
  return featureService({
    ...{ name: 'scoring', version: 1, owner, description, unknownEntities: parts.unknown },
    features: parts.isReversed ? all.reverse() : all,
  });
}

/** Other values for each part. */
const SAME: Partial<Record<keyof Parts, fc.Arbitrary<unknown>>> = {
  description: fc.string(),
  owner: fc.string(),
  ruleName: fc.constantFrom('a', 'b'),
  warnAt: fc.integer({ min: 11 }),
  action: fc.constant('dead_letter'),
  isReversed: fc.constant(true),
  isFormatted: fc.constant(true),
  example: fc.string(),
  isWider: fc.constant(true),
};
const OTHER: Partial<Record<keyof Parts, fc.Arbitrary<unknown>>> = {
  limit: fc.integer().filter((limit) => limit !== BASE.limit),
  windowHours: fc.constantFrom(6, 24),
  aggregated: fc.constant('fee'),
  gap: fc.constant('10m'),
  ttl: fc.constant('1d'),
  largest: fc.integer({ min: 1_001 }),
  eventType: fc.constant('refund'),
  entity: fc.constant('card'),
  source: fc.constant('transfers'),
  field: fc.constant('currency'),
  helper: fc.constantFrom(
    (value: number) => value * 3,
    (value: number) => value + 2,
  ),
  filter: fc.constantFrom(
    (event: EventFields) => event.kind !== 'card',
    (event: EventFields) => event.kind === 'cash',
    (event: EventFields) => event.currency === 'card',
  ),
  formula: fc.constantFrom(
    (row: Readonly<Record<string, unknown>>) => Number(row.count_1h) + 2,
    (row: Readonly<Record<string, unknown>>) => Number(row.amount) + 1,
  ),
  dropsAbove: fc.integer({ min: 501 }),
  requestType: fc.constant('long'),
  unknown: fc.constant('defaults'),
  version: fc.integer({ min: 2, max: 99 }),
};
const changes = (of: typeof SAME) =>
  fc
    .constantFrom(...(Object.keys(of) as (keyof Parts)[]))
    .chain((part) =>
      (of[part] as fc.Arbitrary<unknown>).map((value): [keyof Parts, Parts] => [part, { ...BASE, [part]: value }]),
    );

describe('a fingerprint', () => {
  const base = define(BASE);

  test('changes with every single change of what decides values, and the difference is named', () => {
    fc.assert(
      fc.property(changes(OTHER), ([, parts]) => {
        const changed = define(parts);
        expect(changed.signature.fingerprint).not.toBe(base.signature.fingerprint);
        const { service, fingerprint } = base.signature;
        const model = { featureService: { service, fingerprint, definitions: base.data }, inputs: [] };
        expect(serviceProblems({ find: () => changed }, model)).not.toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  test('does not change with what is only said of a definition, its order, its form, or fields that nothing reads', () => {
    fc.assert(
      fc.property(changes(SAME), ([, parts]) => {
        expect(define(parts).signature.fingerprint).toBe(base.signature.fingerprint);
      }),
      { numRuns: 300 },
    );
  });

  test('names feature, part, and what was and is', () => {
    const { service, fingerprint } = base.signature;
    const model = {
      featureService: { service, fingerprint, definitions: JSON.parse(JSON.stringify(base.data)) },
      inputs: [],
    };
    const problemsOf = (change: Partial<Parts>) =>
      serviceProblems({ find: () => define({ ...BASE, ...change }) }, model).join('\n');
    expect(problemsOf({})).toBe('');
    expect(problemsOf({ limit: 1 })).toMatch(
      /trained on scoring@1, and feature large of spending@1 has changed: limit, which its function uses, was 100, is 1/,
    );
    expect(problemsOf({ filter: (event) => event.kind === 'cash' })).toMatch(
      /feature cards_1h of spending@1 has changed: its filter was `.*card.*`, is `.*cash.*`/,
    );
    expect(problemsOf({ ttl: '1d' })).toMatch(/spending@1 has changed: its ttl in ms was 2592000000, is 86400000/);
    expect(problemsOf({ version: 2 })).toMatch(
      /feature rated of spending@1 has changed: the version of its function was 1, is 2/,
    );
  });
});

test('a model of a release before 0.2 is judged by descriptions, as it was then', () => {
  const base = define(BASE);
  const model = { featureService: { service: 'scoring@1', fingerprint: previousFingerprint(base) }, inputs: [] };
  expect(serviceProblems({ find: () => base }, model)).toEqual([]);
  expect(serviceProblems({ find: () => define({ ...BASE, limit: 1 }) }, model)).toEqual([]);
  expect(serviceProblems({ find: () => define({ ...BASE, aggregated: 'fee' }) }, model)).toEqual([
    expect.stringMatching(/its definitions, then [0-9a-f]{16}, are [0-9a-f]{16} now/),
  ]);
});

const RATE = 2;
const scaled = (value: number): number => value * RATE;
const view = (feature: Feature) =>
  featureView({
    ...{ name: 'v', version: 1, entity: VIEWS[0]?.entity as never, source: VIEWS[0]?.source as never },
    ...{ ttl: '1d', owner: 'o', description: 'd', features: { f: feature } },
  });

test('what a function uses and its source does not define is refused by name, unless it is listed or versioned', () => {
  const plain = (uses?: object) => () => view(fromEvent('double', 'd', (event) => scaled(Number(event.amount)), uses));
  expect(plain()).toThrow(/view v@1, feature f: its function uses "scaled", .* \(\{ uses: \{ scaled \} \}\)/);
  expect(plain({ uses: { scaled } })).toThrow(/its function uses "RATE"/);
  expect(plain({ uses: { scaled, RATE } })).not.toThrow();
  expect(plain({ version: 1 })).not.toThrow();
  const bound = ((rate: number, event: EventFields) => rate * Number(event.amount)).bind(undefined, 2);
  expect(() => view(fromEvent('double', 'd', bound as never))).toThrow(/its function uses/);
  expect(() =>
    view(
      fromEvent('double', 'd', (event) => new Map([[1, RATE]]).get(Number(event.amount)) ?? 0, {
        uses: { RATE: new (class Rate {})() },
      }),
    ),
  ).toThrow(/"RATE" in "uses" is an instance of Rate/);
  // A name that an inner function has for itself is still missing outside of it.
  expect(() =>
    view(fromEvent('double', 'd', (event) => ((RATE: number) => RATE)(Number(event.amount)) * RATE)),
  ).toThrow(/its function uses "RATE"/);
  expect(() => view(fromEvent('double', 'd', () => Number(process.env.RATE)))).toThrow(/uses "process"/);
  expect(() => view({ ...count({ where: (event) => Number(event.amount) > RATE }).over('1h').count_1h })).toThrow(
    /feature f: its function uses "RATE"/,
  );
});

test('the shipped views have a fingerprint each', () => {
  const all = VIEWS.map((each) => serviceOfView(each).signature.fingerprint);
  expect(new Set(all).size).toBe(VIEWS.length);
});
