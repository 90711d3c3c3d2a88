import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { emptyEntityState } from '#feature_store/aggregation/entity_state';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import * as catalog from '#feature_store/definitions/aggregations';
import { AGGREGATIONS, type Aggregation, type WindowFeature } from '#feature_store/definitions/feature';
import { featureView } from '#feature_store/definitions/feature_view';
import type { EventFields } from '#feature_store/definitions/sources/source';
import { entity, eventSource } from '#feature_store/definitions/sources/source';
import type { FeatureValue } from '#feature_store/definitions/values/feature_row';
import { Random } from '#kernel/random';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '#kernel/time';
import { Duck, type SqlRow } from '../../support/duckdb.ts';

// Every aggregation against DuckDB: at any time the newest row holds what SQL over the raw events gives, in whatever order they came. The SQL states the rules of docs/features.md,
// "How exact" and "Rules of time".

const { approxDistinct, count, distinct, first, last, max, mean, min, percentile } = catalog;
const { ratio, session, stddev, sum, top, variance } = catalog;

/** Steps of each rung of tiles, and windows whose far edge is hit by edges of other rungs. */
const WINDOWS = ['30s', '7m', '1h', '3h', '24h', '7d', '31d', '45d'] as const;
const GAP = '30m';
const LATENESS_MS = 2 * DAY_MS;

interface Filter {
  readonly where: (event: EventFields) => boolean;
  readonly sql: string;
}
const LARGE: Filter = { where: ({ amount }) => Number(amount) > 50, sql: 'amount > 50' };
const AT_M1: Filter = { where: ({ merchant }) => merchant === 'm1', sql: "merchant = 'm1'" };

const windows = {
  ...count().over(...WINDOWS),
  ...count({ as: 'large', where: LARGE.where }).over(...WINDOWS),
  ...sum('amount').over(...WINDOWS),
  ...sum('amount', { as: 'sum_m1', where: AT_M1.where }).over(...WINDOWS),
  ...mean('amount').over(...WINDOWS),
  ...min('amount').over(...WINDOWS),
  ...max('amount').over(...WINDOWS),
  ...stddev('amount').over(...WINDOWS),
  ...variance('amount').over(...WINDOWS),
  ...distinct('merchant').over(...WINDOWS),
  ...distinct('items', { as: 'items_m1', where: AT_M1.where }).over(...WINDOWS),
  ...approxDistinct('merchant').over(...WINDOWS),
  ...percentile('amount', 0.5).over(...WINDOWS),
  ...percentile('amount', 0.95).over(...WINDOWS),
  ...percentile('items', 0).over(...WINDOWS),
  ...percentile('items', 1).over(...WINDOWS),
  ...top('merchant', 'string').over(...WINDOWS),
  ...top('merchant', 'string', 3).over(...WINDOWS),
  ...top('items', 'long').over(...WINDOWS),
  ...top('online', 'boolean').over(...WINDOWS),
  ...first('amount', 'double').over(...WINDOWS),
  ...first('merchant', 'string', 4).over(...WINDOWS),
  ...first('online', 'boolean', 1, { as: 'first_online_m1', where: AT_M1.where }).over(...WINDOWS),
  ...last('amount', 'double').over(...WINDOWS),
  ...last('merchant', 'string', 3).over(...WINDOWS),
  // More than are kept with the others: a sequence.
  ...last('items', 'long', 20).over(...WINDOWS),
} satisfies Record<string, WindowFeature>;

const view = featureView({
  ...{
    name: 'oracle',
    version: 1,
    entity: entity('shopper', ['shopper_id']),
    ttl: '366d',
    owner: 'o',
    description: 'd',
  },
  source: eventSource({
    ...{ name: 'purchases', eventTypes: ['purchase'], schemaVersion: 1, eventIdField: 'id', timestampField: 'at' },
    schema: z.object({
      ...{ id: z.string(), at: z.string(), shopper_id: z.string(), amount: z.number().nullish() },
      ...{ items: z.int().nullish(), merchant: z.string().nullish(), online: z.boolean().nullish() },
    }),
  }),
  features: {
    ...windows,
    ...ratio('average', 'sum_amount', 'count', 'Amount an event').over(...WINDOWS),
    ...session(GAP),
  },
});
const computation = new ViewComputation(view, LATENESS_MS);

/** What an aggregation is in SQL, over a field, of the events that `{}` selects. One that is missing here does not compile, and fails the first test. */
const SQL: Readonly<Record<Aggregation, (field: string, parameter: number, single: boolean) => string>> = {
  count: () => 'count(*) {}',
  sum: (field) => `coalesce(sum(${field}) {}, 0)`,
  mean: (field) => `avg(${field}) {}`,
  min: (field) => `min(${field}) {}`,
  max: (field) => `max(${field}) {}`,
  // Of the population; 0 of nothing.
  stddev: (field) => `coalesce(stddev_pop(${field}) {}, 0)`,
  variance: (field) => `coalesce(var_pop(${field}) {}, 0)`,
  distinct: (field) => `count(DISTINCT ${field}) {}`,
  // Up to 128 values; beyond, see below.
  approx_distinct: (field) => `count(DISTINCT ${field}) {}`,
  // The nearest rank, up to 256 values; beyond, see below.
  percentile: (field, q) => `quantile_disc(${field}, ${q}) {}`,
  // The most frequent; of equally frequent ones the smaller as a string.
  top: (field, n, single) => {
    const ranked = `list_sort(list_transform(map_entries(histogram(CAST(${field} AS VARCHAR)) {}), lambda tally: {'n': -CAST(tally.value AS BIGINT), 'v': tally.key}))`;
    return single ? `${ranked}[1].v` : `coalesce(list_transform(${ranked}[:${n}], lambda s: s.v), [])`;
  },
  // Of two at one time, the one read first is the earlier.
  first: (field, n, single) => ends(`list(${field} ORDER BY e.happened, seq) {}`, n, single),
  last: (field, n, single) => ends(`list(${field} ORDER BY e.happened DESC, seq DESC) {}`, n, single),
};

const ends = (list: string, n: number, single: boolean): string =>
  single ? `(${list})[1]` : `coalesce((${list})[:${n}], [])`;

/** A window's far edge moves by steps: of a minute up to an hour, of a quarter of an hour up to a day, of an hour up to a month, of a day beyond. */
function stepOf(windowMs: number): number {
  if (windowMs <= HOUR_MS) return MINUTE_MS;
  if (windowMs <= DAY_MS) return 15 * MINUTE_MS;
  return windowMs <= 31 * DAY_MS ? HOUR_MS : DAY_MS;
}

/** The events of a window as of a time: those up to then, and back until the window has left the whole step that an event lies in. */
const isIn = (windowMs: number): string =>
  `e.happened <= l.as_of AND (e.happened // ${stepOf(windowMs)} + 1) * ${stepOf(windowMs)} + ${windowMs} > l.as_of`;

function sqlOf({ aggregation, field, where, parameter = 1, windowMs }: WindowFeature): string {
  const filter = [LARGE, AT_M1].find((one) => one.where === where);
  if ((filter === undefined) !== (where === undefined)) throw new Error('a filter without its SQL');
  const conditions = [isIn(windowMs), filter?.sql, field === undefined ? undefined : `${field} IS NOT NULL`];
  const selected = `FILTER (WHERE ${conditions.filter((condition) => condition !== undefined).join(' AND ')})`;
  const single = !['top', 'first', 'last'].includes(aggregation) || parameter === 1;
  return SQL[aggregation](field ?? '', parameter, single).replaceAll('{}', selected);
}

const SQL_TYPES: Readonly<Record<string, string>> = {
  ...{ double: 'DOUBLE', long: 'DOUBLE', boolean: 'BOOLEAN', string: 'VARCHAR' },
  ...{ 'array<string>': 'VARCHAR[]', 'array<long>': 'DOUBLE[]' },
};

const WINDOW_SQL = `SELECT l.key, l.as_of::DOUBLE AS as_of,
  ${Object.entries(windows as Readonly<Record<string, WindowFeature>>)
    .map(([name, feature]) => `CAST(${sqlOf(feature)} AS ${SQL_TYPES[feature.type]}) AS "${name}"`)
    .join(',\n  ')}
FROM looks l LEFT JOIN events e ON e.key = l.key GROUP BY l.key, l.as_of`;

/** The ratio of two windows is null where the second is 0. */
const LOOKS_SQL = `SELECT *, ${WINDOWS.map((window) => `sum_amount_${window} / nullif(count_${window}, 0) AS average_${window}`).join(', ')} FROM (${WINDOW_SQL})`;

/** An event a whole gap after the one before it begins a session; a session is over when a whole gap has passed. */
const SESSION_SQL = `WITH known AS (
    SELECT l.key, l.as_of, e.happened, e.seq, e.happened - lag(e.happened) OVER (PARTITION BY l.key, l.as_of ORDER BY e.happened, e.seq) >= ${30 * MINUTE_MS} AS begins
    FROM looks l JOIN events e ON e.key = l.key AND e.happened <= l.as_of
  ), numbered AS (
    SELECT *, count(*) FILTER (WHERE begins) OVER (PARTITION BY key, as_of) AS newest,
      count(*) FILTER (WHERE begins) OVER (PARTITION BY key, as_of ORDER BY happened, seq ROWS UNBOUNDED PRECEDING) AS number FROM known
  ), current AS (
    SELECT key, as_of, as_of - max(happened) < ${30 * MINUTE_MS} AS active, count(*) AS events, max(happened) - min(happened) AS length
    FROM numbered WHERE number = newest GROUP BY key, as_of
  )
  SELECT key, as_of::DOUBLE AS as_of, active AS is_active_session, CASE WHEN active THEN events ELSE 0 END::DOUBLE AS session_event_count,
    CASE WHEN active THEN length ELSE 0 END::DOUBLE / ${SECOND_MS} AS session_duration_seconds FROM current`;

interface Event {
  readonly at: number;
  readonly amount?: number | null | undefined;
  readonly items?: number | null | undefined;
  readonly merchant?: string | null | undefined;
  readonly online?: boolean | null | undefined;
}

const START = Date.UTC(2026, 0, 1);
const STEPS_MS = [SECOND_MS, MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, DAY_MS] as const;
const WINDOWS_MS = [...new Set(Object.values(windows).map(({ windowMs }) => windowMs)), 30 * MINUTE_MS];

/** A time after the one before it: at it, close by, at an edge of a tile, or a whole window later; a millisecond beside that, too. */
const gapMs = fc.oneof(
  { weight: 2, arbitrary: fc.constant(() => 0) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 20 * MINUTE_MS }).map((ms) => () => ms) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 20 * DAY_MS }).map((ms) => () => ms) },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constantFrom(...STEPS_MS), fc.integer({ min: -1, max: 1 })).map(
      ([stepMs, off]) =>
        (from: number) =>
          Math.max(0, (Math.floor(from / stepMs) + 1) * stepMs + off - from),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constantFrom(...WINDOWS_MS), fc.integer({ min: -1, max: 1 })).map(
      ([windowMs, off]) =>
        () =>
          windowMs + off,
    ),
  },
);

const missing = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | null | undefined> =>
  fc.oneof({ weight: 8, arbitrary: value }, { weight: 1, arbitrary: fc.constantFrom(null, undefined) });

const eventOf = fc.record({
  amount: missing(fc.oneof(fc.integer({ min: -100, max: 100 }), fc.double({ min: -1e6, max: 1e6, noNaN: true }))),
  items: missing(fc.integer({ min: -3, max: 12 })),
  merchant: missing(fc.constantFrom('m1', 'm2', 'm10', 'é', 'ü,', '')),
  online: missing(fc.boolean()),
});

/** Events of one shopper in the order in which they are read. */
const stream = fc
  .record({
    events: fc.array(fc.tuple(gapMs, eventOf), { minLength: 1, maxLength: 30 }),
    begins: fc.integer({ min: 0, max: DAY_MS }),
    // By so much some come later than others, ms; none in half the streams.
    delays: fc.option(fc.array(fc.integer({ min: 0, max: LATENESS_MS }), { minLength: 1, maxLength: 7 })),
    looks: fc.array(gapMs, { maxLength: 10 }),
  })
  .map(({ events, begins, delays, looks }) => {
    let at = START + begins;
    const timed = events.map(([gap, event], index): { event: Event; readAt: number } => {
      at += gap(at);
      return {
        event: { at, ...event },
        readAt: at + (delays === null ? 0 : (delays[index % delays.length] as number)),
      };
    });
    const read = timed.sort((a, b) => a.readAt - b.readAt).map(({ event }) => event);
    const times = [...timed.map(({ event }) => event.at), ...looks.map((gap) => (at += gap(at)))];
    const newest = Math.max(...read.map((event) => event.at));
    const isInOrder = read.every((event, index) => index === 0 || event.at >= (read[index - 1] as Event).at);
    // Rows of before the newest event stay as they were known when events come out of order.
    return { events: read, looks: isInOrder ? times : times.filter((time) => time >= newest) };
  });

type Values = Readonly<Record<string, FeatureValue>>;

/** As the stream does it: rows by their time, of each the one written last. */
function computeRows(events: readonly Event[], untilMs: number): ReadonlyMap<number, Values> {
  const state = emptyEntityState();
  const rows = new Map<number, Values>();
  const emit = (at: number, values: Values): unknown => rows.set(at, values);
  for (const { at, ...event } of events) {
    computation.decay(state, at, emit);
    const early = computation.earlyRows(state, at);
    emit(at, computation.apply(state, event, at));
    if (early !== undefined) computation.correct(state, early, emit);
  }
  computation.decay(state, untilMs + 1, emit);
  return rows;
}

let duck: Duck;
beforeAll(async () => {
  duck = await Duck.open();
});
afterAll(() => duck.close());

async function computedBySql(
  streams: readonly { readonly events: readonly Event[]; readonly looks: readonly number[] }[],
): Promise<readonly SqlRow[]> {
  const events = streams.flatMap((one, key) =>
    one.events.map(({ at, ...event }, seq) => ({ key, seq, happened: at, ...event })),
  );
  const looks = streams.flatMap((one, key) => [...new Set(one.looks)].map((asOf) => ({ key, as_of: asOf })));
  const columns = {
    key: 'BIGINT',
    seq: 'BIGINT',
    happened: 'BIGINT',
    amount: 'DOUBLE',
    items: 'BIGINT',
    merchant: 'VARCHAR',
  };
  await duck.load('events', { ...columns, online: 'BOOLEAN' }, events);
  await duck.load('looks', { key: 'BIGINT', as_of: 'BIGINT' }, looks);
  return duck.query(`SELECT * FROM (${LOOKS_SQL}) JOIN (${SESSION_SQL}) USING (key, as_of)`);
}

test('every aggregation of the catalog is computed in SQL here', () => {
  expect(Object.keys(SQL).sort()).toEqual([...AGGREGATIONS].sort());
  const used = new Set(Object.values(windows).map(({ aggregation }) => aggregation));
  expect([...used].sort()).toEqual([...AGGREGATIONS].sort());
  // A function that makes features is one of these, or needs a place in this test.
  const makers = {
    approxDistinct,
    count,
    distinct,
    first,
    last,
    max,
    mean,
    min,
    percentile,
    ratio,
    session,
    stddev,
    sum,
    top,
    variance,
  };
  expect(Object.keys(catalog).sort()).toEqual(Object.keys(makers).sort());
});

test('at any time the newest row holds what DuckDB computes of the raw events', async () => {
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(stream, { minLength: 30, maxLength: 60, size: 'max' }), async (streams) => {
      const rows = streams.map(({ events, looks }) =>
        [...computeRows(events, Math.max(...looks))].sort(([a], [b]) => a - b),
      );
      for (const { key, as_of: asOf, ...expected } of await computedBySql(streams)) {
        const found = rows[Number(key)]?.findLast(([at]) => at <= Number(asOf))?.[1];
        for (const [name, value] of Object.entries(expected)) {
          compared += 1;
          if (isSame(found?.[name], value)) continue;
          const { events } = streams[Number(key)] as (typeof streams)[number];
          expect({ name, value: found?.[name], asOf, events }).toEqual({ name, value, asOf, events });
        }
      }
    }),
    // One query of them all is expensive; the failing stream is printed whole.
    { numRuns: Number(process.env.ORACLE_RUNS ?? 6), endOnFailure: true },
  );
  expect(compared).toBeGreaterThan(100_000);
}, 120_000);

/** Sums are equal but for the order in which they were added. */
function isSame(got: FeatureValue | undefined, value: FeatureValue): boolean {
  if (Array.isArray(got) && Array.isArray(value)) {
    return got.length === value.length && got.every((each, at) => isSame(each, value[at] as FeatureValue));
  }
  if (typeof got !== 'number' || typeof value !== 'number') return got === value;
  return Math.abs(got - value) <= 1e-9 * Math.max(1, Math.abs(value), LARGEST_AMOUNT);
}

/** Amounts that cancel each other leave an error of the size of their digits. */
const LARGEST_AMOUNT = 1e6;

test('beyond what is kept exactly, sketches stay within their errors of what DuckDB computes', async () => {
  const sketched = featureView({
    ...view,
    ...{ name: 'sketched', ttl: '366d' },
    features: {
      ...percentile('amount', 0.5).over('24h'),
      ...percentile('amount', 0.95).over('24h'),
      ...approxDistinct('merchant').over('24h'),
      ...top('merchant', 'string', 3).over('24h'),
    },
  });
  const many = new ViewComputation(sketched, LATENESS_MS);
  const at = (share: number): string => `(SELECT quantile_disc(amount, ${share}) FROM events)`;
  const below = (share: number): string =>
    `(SELECT coalesce(max(amount), ${at(share)}) FROM events WHERE amount < ${at(share)})`;
  const above = (share: number): string =>
    `(SELECT coalesce(min(amount), ${at(share)}) FROM events WHERE amount > ${at(share)})`;
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.integer({ min: 300, max: 2_000 }), fc.nat(2), async (seed, n, shape) => {
      const random = new Random(seed);
      const amountOf = [() => random.next(), () => random.logNormal(10, 2), () => random.integer(0, 40)][shape];
      // One value in five is m1, one in ten m2, one in twenty m3: the others are all rare.
      const merchantOf = (index: number): string =>
        index % 5 === 0 ? 'm1' : index % 10 === 1 ? 'm2' : index % 20 === 2 ? 'm3' : `x${random.integer(0, n)}`;
      const events = Array.from({ length: n }, (_, index) => ({
        ...{ amount: (amountOf as () => number)(), merchant: merchantOf(index) },
      }));
      const state = emptyEntityState();
      let row: Values = {};
      for (const [index, event] of events.entries()) row = many.apply(state, event, START + index * 20 * SECOND_MS);
      await duck.load('events', { amount: 'DOUBLE', merchant: 'VARCHAR' }, events);
      const [exact] = await duck.query(`
        SELECT count(DISTINCT merchant)::DOUBLE AS merchants,
          (SELECT list(merchant ORDER BY n DESC, merchant) FROM (
            SELECT merchant, count(*) AS n FROM events GROUP BY merchant ORDER BY n DESC, merchant LIMIT 3
          )) AS top,
          ${[50, 95].map((q) => `${below((q - 1.5) / 100)} AS least_${q}, ${above((q + 1.5) / 100)} AS most_${q}`).join(', ')}
        FROM events`);
      const { merchants, top: frequent, ...quantiles } = exact as Readonly<Record<string, number>>;
      expect(row.top_3_merchant_24h).toEqual(frequent);
      // Five standard errors.
      const error = Math.abs(Number(row.approx_distinct_merchant_24h) - Number(merchants));
      expect(error).toBeLessThanOrEqual(5 * 0.0325 * Number(merchants));
      for (const q of [50, 95]) {
        // One per cent of rank, and a value in between where the sketch has merged the values of this rank with the next.
        expect(row[`p${q}_amount_24h`]).toBeGreaterThanOrEqual(Number(quantiles[`least_${q}`]));
        expect(row[`p${q}_amount_24h`]).toBeLessThanOrEqual(Number(quantiles[`most_${q}`]));
      }
    }),
    { numRuns: 12, endOnFailure: true },
  );
}, 60_000);
