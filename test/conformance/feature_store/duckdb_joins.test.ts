import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type OfflineDatabase, sqlOfflineDatabase } from '#cli/parts/offline_database';
import { createFileSystems } from '#connectors/files/file_systems';
import { PgliteExecutor } from '#feature_store/database/pglite_executor';
import { asOf, field } from '#feature_store/definitions/feature';
import { featureService } from '#feature_store/definitions/feature_service';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { entityKeyFromId } from '#feature_store/definitions/values/entity_key';
import { type FeatureRow, viewId } from '#feature_store/definitions/values/feature_row';
import { type LabelOrigin, loadLabels } from '#feature_store/retrieval/labels';
import { buildTrainingSet } from '#feature_store/retrieval/training_set';
import { DAY_MS, eventTime, HOUR_MS, processingTime, SECOND_MS } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { testView } from '../../support/definitions/test_view.ts';
import { Duck } from '../../support/duckdb.ts';

// Every kind of point-in-time join against DuckDB's ASOF JOIN: labels of files, queries, sources and of rows themselves, with every form in which people write times, joined with
// rows of several ttls, as they are and as they were known.

/** One name a view, since rows of all runs share the store; the ttls are those of the rule: for ever, shorter than the gaps, about as long. */
const TTLS = { forever: '0s', brief: '90s', hourly: '1h' } as const;
const TTL_MS = { forever: Number.POSITIVE_INFINITY, brief: 90 * SECOND_MS, hourly: HOUR_MS } as const;
type ViewName = keyof typeof TTLS;
const VIEW_NAMES = Object.keys(TTLS) as ViewName[];

const viewsOf = (run: number): Readonly<Record<ViewName, FeatureView>> => {
  const view = (name: ViewName): FeatureView =>
    testView(
      {
        [`v_${name}`]: field('amount', 'double', ''),
        [`at_${name}`]: field('amount', 'double', ''),
        // Computed for the label's time: the age of the row.
        [`age_${name}`]: asOf(
          [`at_${name}`],
          'double',
          '',
          (values, asOfMs) => (values[`at_${name}`] === null ? null : asOfMs - Number(values[`at_${name}`])),
          { version: 1, uses: { name } },
        ),
      },
      { name: `${name}_${run}`, ttl: TTLS[name] },
    );
  return { forever: view('forever'), brief: view('brief'), hourly: view('hourly') };
};

const START = Date.UTC(2026, 2, 28, 23);
const KEYS = ['a', 'b', 'c|d'] as const;

interface Write {
  readonly name: ViewName;
  readonly key: (typeof KEYS)[number];
  readonly atMs: number;
  readonly computedMs: number;
  readonly value: number | null;
}

/** Times of rows and labels meet: multiples of half a minute, a ttl apart, or a millisecond beside. */
const grid = fc
  .tuple(fc.integer({ min: 0, max: 8 * 60 }), fc.constantFrom(0, 0, 0, 1, -1, 999))
  .map(([halfMinutes, ms]) => START + halfMinutes * 30 * SECOND_MS + ms);

const writes = fc
  .array(
    fc.record({
      name: fc.constantFrom(...VIEW_NAMES),
      key: fc.constantFrom(...KEYS),
      atMs: grid,
      // Some are computed at once, some by a back-fill a day later; rows are written again with other values, or the same.
      delayMs: fc.constantFrom(0, 1, 200, HOUR_MS, DAY_MS),
      value: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constant(null)),
    }),
    { minLength: 1, maxLength: 40, size: 'max' },
  )
  .map((list): readonly Write[] =>
    list
      .map(({ atMs, delayMs, ...rest }) => ({ ...rest, atMs, computedMs: atMs + delayMs }))
      .sort((a, b) => a.computedMs - b.computedMs),
  );

interface Label {
  readonly key: (typeof KEYS)[number];
  /** Microseconds since the epoch: labels of databases are as fine as that. */
  readonly atUs: bigint;
  readonly form: keyof typeof FORMS;
}

const pad = (value: number | bigint, length: number): string => String(value).padStart(length, '0');
const dateAndTime = (us: bigint, separator: string): string =>
  `${new Date(Number(us / 1_000_000n) * 1_000).toISOString().slice(0, 19).replace('T', separator)}.${pad(us % 1_000_000n, 6)}`;
const inZone = (us: bigint, minutes: number): string => dateAndTime(us + BigInt(minutes) * 60_000_000n, 'T');
/** How one time is written. Without a zone it is UTC. */
const FORMS = {
  utc: (us: bigint) => `${dateAndTime(us, 'T')}Z`,
  bare: (us: bigint) => dateAndTime(us, 'T'),
  spaced: (us: bigint) => dateAndTime(us, ' '),
  kathmandu: (us: bigint) => `${inZone(us, 345)}+05:45`,
  newYork: (us: bigint) => `${inZone(us, -240)}-04:00`,
} as const;

const labels = fc.array(
  fc.record({
    key: fc.constantFrom(...KEYS),
    atUs: fc
      .tuple(grid, fc.constantFrom(0n, 0n, 1n, 499n, 500n, 999n))
      .map(([ms, micros]) => BigInt(ms) * 1_000n + micros),
    form: fc.constantFrom(...(Object.keys(FORMS) as (keyof typeof FORMS)[])),
  }),
  { minLength: 1, maxLength: 30, size: 'max' },
);

let duck: Duck;
let store: OfflineDatabase;
let executor: PgliteExecutor;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'joins-'));
  executor = new PgliteExecutor(join(folder, 'pglite'));
  store = sqlOfflineDatabase({ sql: executor, log: silentLogger }, 'pglite');
  duck = await Duck.open();
  await store.start();
}, 120_000);
afterAll(async () => {
  await store.stop();
  duck.close();
  rmSync(folder, { recursive: true, force: true });
});

const RANGE = { from: eventTime(START - DAY_MS), to: eventTime(START + DAY_MS) };
const accountKey = (view: FeatureView, key: string) => entityKeyFromId(view, key);
const timeText = (us: bigint): string => `${dateAndTime(us, 'T')}Z`;

/** Loads what was written into DuckDB: in the order of writing, which decides between writes of one time. */
const loadWrites = (list: readonly Write[]): Promise<void> =>
  duck.load(
    'writes',
    { seq: 'BIGINT', name: 'VARCHAR', key: 'VARCHAR', at_ms: 'BIGINT', computed_ms: 'BIGINT', value: 'DOUBLE' },
    list.map(({ name, key, atMs, computedMs, value }, seq) => ({
      ...{ seq, name, key: `account:${key === 'c|d' ? 'c\\|d' : key}`, at_ms: atMs, computed_ms: computedMs, value },
    })),
  );

/** A row as it is now: of one event time, the one computed and written last. */
const ROWS = (known = 'true'): string =>
  `SELECT * FROM writes WHERE ${known} QUALIFY row_number() OVER (PARTITION BY name, key, at_ms ORDER BY computed_ms DESC, seq DESC) = 1`;

/**
 * The join in SQL: the newest row at or before the label's time, which is cut off to milliseconds; a row that is exactly as old as the ttl is read, and a ttl of 0 keeps rows for ever.
 *
 * @param moments - SQL giving `label_id`, `key` and `moment`, a TIMESTAMP in UTC
 */
const asofSql = (moments: string, name: ViewName, known?: string): string => `
  WITH moments AS (SELECT label_id, key, epoch_ms(date_trunc('milliseconds', moment)) AS moment_ms FROM (${moments})),
    newest AS (SELECT * FROM (${ROWS(known)}) WHERE name = '${name}')
  SELECT m.label_id, m.moment_ms::DOUBLE AS moment_ms,
    CASE WHEN m.moment_ms - r.at_ms <= '${TTL_MS[name]}'::DOUBLE THEN r.value END AS v_${name},
    CASE WHEN m.moment_ms - r.at_ms <= '${TTL_MS[name]}'::DOUBLE THEN (m.moment_ms - r.at_ms)::DOUBLE END AS age_${name}
  FROM moments m ASOF LEFT JOIN newest r ON m.key = r.key AND m.moment_ms >= r.at_ms`;

/** As serving could have known it: what had been computed by the label's own time. */
const knownAtLabelSql = (moments: string, name: ViewName): string => `
  WITH moments AS (SELECT label_id, key, epoch_ms(date_trunc('milliseconds', moment)) AS moment_ms FROM (${moments})),
    found AS (
      SELECT m.label_id, m.moment_ms, w.at_ms, w.value
      FROM moments m LEFT JOIN writes w
        ON w.name = '${name}' AND w.key = m.key AND w.at_ms <= m.moment_ms AND w.computed_ms <= m.moment_ms
      QUALIFY row_number() OVER (PARTITION BY m.label_id ORDER BY w.at_ms DESC, w.computed_ms DESC, w.seq DESC) = 1
    )
  SELECT label_id, moment_ms::DOUBLE AS moment_ms,
    CASE WHEN moment_ms - at_ms <= '${TTL_MS[name]}'::DOUBLE THEN value END AS v_${name},
    CASE WHEN moment_ms - at_ms <= '${TTL_MS[name]}'::DOUBLE THEN (moment_ms - at_ms)::DOUBLE END AS age_${name}
  FROM found`;

/** Where labels come from: written for us, and read by DuckDB with SQL of its own. */
interface Origin {
  readonly kind: string;
  prepare(
    list: readonly Label[],
    run: number,
    views: Readonly<Record<ViewName, FeatureView>>,
  ): Promise<{
    readonly origin: LabelOrigin;
    readonly moments: string;
  }>;
}

const labelRows = (list: readonly Label[]) =>
  list.map(({ key, atUs, form }, index) => ({
    ...{ label_id: `l${index}`, account_id: key, event_time: FORMS[form](atUs), label: index % 2 },
  }));
const KEY_SQL = `'account:' || replace(account_id, '|', '\\|') AS key`;
/** Text with an offset is a time of its zone, text without one is UTC. */
const MOMENT_SQL = `timezone('UTC', event_time::TIMESTAMPTZ) AS moment`;

const ORIGINS: readonly Origin[] = [
  ...(['csv', 'jsonl'] as const).map(
    (format): Origin => ({
      kind: format,
      async prepare(list, run) {
        const file = join(folder, `labels-${run}.${format}`);
        const rows = labelRows(list);
        const cell = (value: string | number): string => (String(value).includes(',') ? `"${value}"` : String(value));
        writeFileSync(
          file,
          format === 'jsonl'
            ? rows.map((row) => `${JSON.stringify(row)}\n`).join('')
            : [
                'label_id,account_id,event_time,label',
                ...rows.map((row) => Object.values(row).map(cell).join(',')),
              ].join('\n'),
        );
        const types = `{'label_id': 'VARCHAR', 'account_id': 'VARCHAR', 'event_time': 'VARCHAR'}`;
        const source =
          format === 'csv'
            ? `read_csv('${file}', types = ${types})`
            : `read_json('${file}', columns = {${types.slice(1, -1)}, 'label': 'DOUBLE'})`;
        return { origin: { file }, moments: `SELECT label_id, ${KEY_SQL}, ${MOMENT_SQL} FROM ${source}` };
      },
    }),
  ),
  // Of other tools' making: seconds of each precision that Parquet has, with a zone and without.
  ...(['TIMESTAMP', 'TIMESTAMPTZ', 'TIMESTAMP_MS', 'TIMESTAMP_NS'] as const).map(
    (type): Origin => ({
      kind: `parquet ${type}`,
      async prepare(list, run) {
        const file = join(folder, `labels-${run}.parquet`);
        await duck.load(
          'sent',
          { label_id: 'VARCHAR', account_id: 'VARCHAR', event_time: 'VARCHAR', label: 'DOUBLE' },
          labelRows(list),
        );
        await duck.query(
          `COPY (SELECT label_id, account_id, ${type === 'TIMESTAMPTZ' ? 'event_time::TIMESTAMPTZ' : `timezone('UTC', event_time::TIMESTAMPTZ)::${type}`} AS event_time, label FROM sent) TO '${file}' (FORMAT parquet)`,
        );
        return {
          origin: { file },
          moments: `SELECT label_id, ${KEY_SQL}, ${type === 'TIMESTAMPTZ' ? MOMENT_SQL : 'event_time::TIMESTAMP AS moment'} FROM read_parquet('${file}')`,
        };
      },
    }),
  ),
  {
    kind: 'query',
    async prepare(list, run) {
      const rows = labelRows(list);
      await executor.query(
        `CREATE TABLE outcomes_${run} (label_id text, account_id text, event_time text, label double precision)`,
        [],
      );
      for (const { label_id, account_id, event_time, label } of rows) {
        await executor.query(`INSERT INTO outcomes_${run} VALUES ($1, $2, $3, $4)`, [
          label_id,
          account_id,
          event_time,
          label,
        ]);
      }
      await duck.load('sent', { label_id: 'VARCHAR', account_id: 'VARCHAR', event_time: 'VARCHAR' }, rows);
      return {
        origin: { query: `SELECT label_id, account_id, event_time, label FROM outcomes_${run}` },
        moments: `SELECT label_id, ${KEY_SQL}, ${MOMENT_SQL} FROM sent`,
      };
    },
  },
  {
    kind: 'source',
    async prepare(list, run, views) {
      const found = list.map(({ key, atUs }, index) => ({
        ...{ labelId: `l${index}`, entityKey: accountKey(views.forever, key), label: index % 2 },
        eventTime: eventTime(Number(atUs / 1_000n)),
      }));
      await store.labels.write(`outcomes_${run}`, found);
      await duck.load(
        'sent',
        { label_id: 'VARCHAR', key: 'VARCHAR', us: 'BIGINT' },
        list.map(({ atUs }, index) => ({ label_id: `l${index}`, key: found[index]?.entityKey, us: Number(atUs) })),
      );
      return {
        origin: { source: `outcomes_${run}` },
        moments: 'SELECT label_id, key, make_timestamp(us) AS moment FROM sent',
      };
    },
  },
  {
    kind: 'each row',
    prepare: async () => ({
      origin: { each: 'row' },
      moments: `SELECT key || '@' || at_ms AS label_id, key, make_timestamp(at_ms * 1000) AS moment FROM (${ROWS()}) WHERE name = 'forever'`,
    }),
  },
  {
    kind: 'each entity',
    prepare: async () => ({
      origin: { each: 'entity' },
      moments: `SELECT DISTINCT key AS label_id, key, make_timestamp((SELECT max(at_ms) FROM writes WHERE name = 'forever') * 1000) AS moment FROM writes WHERE name = 'forever'`,
    }),
  },
];

async function write(list: readonly Write[], views: Readonly<Record<ViewName, FeatureView>>): Promise<void> {
  for (const { name, key, atMs, computedMs, value } of list) {
    const view = views[name];
    const row: FeatureRow = {
      ...{ view: view.view, version: 1, entityKey: accountKey(view, key), eventTime: eventTime(atMs) },
      computedAt: processingTime(computedMs),
      values: { [`v_${name}`]: value, [`at_${name}`]: atMs },
    };
    await store.features.write([row]);
  }
}

let runs = 0;

test.each(ORIGINS)(
  'labels of $kind: training sets are what the ASOF JOIN gives, as rows are and as they were known',
  async ({ prepare }) => {
    let joined = 0;
    await fc.assert(
      fc.asyncProperty(writes, labels, fc.boolean(), async (written, list, knownAtLabel) => {
        // A view without rows has none to begin with.
        const withRows = [{ name: 'forever', key: 'a', atMs: START, computedMs: START, value: 9 } as const, ...written];
        runs += 1;
        const views = viewsOf(runs);
        await write(withRows, views);
        await loadWrites(withRows);
        const { origin, moments } = await prepare(list, runs, views);
        const service = featureService({
          ...{ name: `joins_${runs}`, version: 1, owner: 'o', description: 'd' },
          features: VIEW_NAMES.map((name) => ({ view: views[name], names: [`v_${name}`, `age_${name}`] })),
        });
        const found = await loadLabels({ offline: store, fileSystemOf: createFileSystems() }, origin, service, RANGE);
        const { rows } = await buildTrainingSet(
          store.features,
          { service, labels: origin, range: RANGE, knownAtLabel },
          found,
        );
        const got = new Map(rows.map(({ labelId, eventTime: at, values }) => [labelId, { moment_ms: at, ...values }]));
        for (const name of VIEW_NAMES) {
          const sql = knownAtLabel ? knownAtLabelSql(moments, name) : asofSql(moments, name);
          const expected = await duck.query(sql);
          expect(expected.length).toBe(rows.length);
          for (const { label_id: labelId, ...values } of expected) {
            expect({ labelId, ...got.get(String(labelId)) }).toMatchObject({ labelId, ...values });
            if (values[`age_${name}`] !== null) joined += 1;
          }
        }
      }),
      { numRuns: Number(process.env.ORACLE_RUNS ?? 6), endOnFailure: true },
    );
    expect(joined).toBeGreaterThan(10);
  },
  120_000,
);

test('a join by what was known at one time is the ASOF JOIN of what had been computed by then', async () => {
  await fc.assert(
    fc.asyncProperty(writes, labels, grid, async (written, list, knownMs) => {
      runs += 1;
      const views = viewsOf(runs);
      await write(written, views);
      await loadWrites(written);
      await duck.load(
        'sent',
        { label_id: 'VARCHAR', key: 'VARCHAR', event_time: 'VARCHAR' },
        list.map(({ key, atUs }, index) => ({
          ...{ label_id: `${index}`, key: accountKey(views.brief, key) },
          event_time: timeText(atUs),
        })),
      );
      const moments = list.map(({ key, atUs }) => ({
        ...{ entityKey: accountKey(views.brief, key), eventTime: eventTime(Number(atUs / 1_000n)) },
      }));
      for (const name of VIEW_NAMES) {
        const view = views[name];
        const query = { view, ttlMs: view.ttlMs, knownBy: processingTime(knownMs) };
        const got = await store.features.pointInTimeJoin(moments, query);
        const sql = asofSql(`SELECT label_id, key, ${MOMENT_SQL} FROM sent`, name, `computed_ms <= ${knownMs}`);
        for (const { label_id: labelId, ...values } of await duck.query(sql)) {
          const value = got[Number(labelId)]?.[`v_${name}`] ?? null;
          expect({ view: viewId(view), labelId, value }).toEqual({
            view: viewId(view),
            labelId,
            value: values[`v_${name}`],
          });
        }
      }
    }),
    { numRuns: Number(process.env.ORACLE_RUNS ?? 6), endOnFailure: true },
  );
}, 120_000);
