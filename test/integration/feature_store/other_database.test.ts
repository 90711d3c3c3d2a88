import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { z } from 'zod';
import { setEnvironment } from '#configs/environment';
import { source } from '#feature_store/definitions/sources/source';
import { otherDatabase } from '#feature_store/offline/other_database';
import { processingTime } from '#kernel/time';
import { type HistoryDeps, openHistory } from '#pipelines/io/history/open_history';
import { serviceAddress } from '../service_address.ts';

// A warehouse that headwater did not make: a database of its own, names in mixed case, times without a zone, exact numbers.

const VARIABLE = 'TEST_WAREHOUSE_URL';
const database = `warehouse_${process.pid}`;
const ROWS = 5_003;
const SAME_TIME = 7;
let admin: pg.Client;
let url: URL;

beforeAll(async () => {
  admin = new pg.Client({ connectionString: serviceAddress('TEST_POSTGRES_URL') });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${database}`);
  url = new URL(serviceAddress('TEST_POSTGRES_URL'));
  url.pathname = `/${database}`;
  setEnvironment(VARIABLE, url.href);
  const warehouse = new pg.Client({ connectionString: url.href });
  await warehouse.connect();
  await warehouse.query(`
    CREATE TABLE "Orders" ("orderId" bigint PRIMARY KEY, "Customer" varchar(40) NOT NULL, placed timestamp NOT NULL, total numeric(18, 2), paid boolean);
    INSERT INTO "Orders"
      SELECT 9007199254740993 + n, 'c' || n % 11, timestamp '2026-03-29 00:30:00.000001' + (n / ${SAME_TIME}) * interval '1 minute',
        n + 0.10, CASE n % 3 WHEN 0 THEN true WHEN 1 THEN false END
      FROM generate_series(0, ${ROWS - 1}) AS n`);
  await warehouse.end();
}, 60_000);

afterAll(async () => {
  await admin.query(`DROP DATABASE ${database} WITH (FORCE)`);
  await admin.end();
});

const orders = source('orders', {
  schema: z.strictObject({
    order_id: z.string(),
    user_id: z.string(),
    placed_at: z.iso.datetime(),
    total: z.number().nullable(),
    paid: z.boolean().nullable(),
  }),
  ...{ id: 'order_id', timestamp: 'placed_at' },
  history: {
    database: VARIABLE,
    query: `SELECT "orderId"::text AS order_id, "Customer" AS user_id, placed::timestamptz AS placed_at, total, paid FROM "Orders"`,
  },
});
const deps: HistoryDeps = {
  offline: { history: { read: () => Promise.reject(new Error('the offline store holds no orders')) } },
  clock: { now: () => processingTime(Date.parse('2026-11-01T00:00:00Z')) },
  views: [],
  outOfOrderMs: 0,
};

test('every row of another PostgreSQL once, by time and id over pages and a restart, with its exact values', async () => {
  const open = openHistory(orders.history as NonNullable<typeof orders.history>, [orders], deps);
  const ids: string[] = [];
  let cursor = open(undefined);
  for (let next = await cursor.peek(); next !== undefined; next = await cursor.peek()) {
    const { element } = next;
    if (element.ok !== true) throw new Error(`row ${ids.length}: ${JSON.stringify(element)}`);
    const { order_id, total, paid } = element.event as Readonly<Record<string, unknown>>;
    const index = Number(BigInt(order_id as string) - 9_007_199_254_740_993n);
    expect([total, paid]).toEqual([index + 0.1, [true, false, null][index % 3]]);
    expect(next.timeMs).toBe(Date.parse('2026-03-29T00:30:00Z') + Math.floor(index / SAME_TIME) * 60_000);
    ids.push(order_id as string);
    cursor.take();
    // Also between rows of one time, which lie on both sides of a page's end.
    if (ids.length % 999 === 0) cursor = open(JSON.parse(JSON.stringify(cursor.position())));
  }
  expect(ids.length).toBe(ROWS);
  expect(new Set(ids).size).toBe(ROWS);
});

test('a query that writes is refused by the other database', async () => {
  const page = { timestampField: 'placed', idField: 'orderId', after: undefined, limit: 10 };
  const gone = `WITH gone AS (DELETE FROM "Orders" RETURNING *) SELECT * FROM gone`;
  await expect(otherDatabase(VARIABLE).read(gone, page)).rejects.toThrow();
  const next = `SELECT *, nextval('s') FROM "Orders"`;
  const warehouse = new pg.Client({ connectionString: url.href });
  await warehouse.connect();
  await warehouse.query('CREATE SEQUENCE s');
  await expect(otherDatabase(VARIABLE).read(next, page)).rejects.toThrow(/read-only transaction/);
  expect((await warehouse.query('SELECT count(*)::integer AS rows FROM "Orders"')).rows).toEqual([{ rows: ROWS }]);
  await warehouse.end();
});

test.each([
  ['', 'is not set'],
  ['mysql://u:secret@host/db', 'holds no URL of PostgreSQL'],
])('a variable with "%s" is refused by its name, without its value', (value, problem) => {
  setEnvironment('TEST_WAREHOUSE_SPOILT', value);
  expect(() => otherDatabase('TEST_WAREHOUSE_SPOILT')).toThrow(
    `history.database names the environment variable TEST_WAREHOUSE_SPOILT, which ${problem}`,
  );
});
