import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type pg from 'pg';
import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import { postgresConfigSchema } from '#connectors/postgres/config';
import { createPostgresPool } from '#connectors/postgres/pool';
import { postgresTable } from '#connectors/postgres/table_writer';
import { connectRedis, createRedis, type RedisClient } from '#connectors/redis/client';
import { redisConfigSchema } from '#connectors/redis/config';
import { redisHashes } from '#connectors/redis/hash_writer';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { writeTo } from '#pipelines/io/sink';
import { create } from '#pipelines/model/transforms';
import { type Collected, collectInto, runToEnd } from '#pipelines/testing/collect';
import { serviceAddress } from '../service_address.ts';

// Rows that are no features, into tables and hashes of one's own.

let pool: pg.Pool;
let redis: RedisClient;
const table = `rows_${randomUUID().slice(0, 8)}`;
const prefix = `rows:${randomUUID()}`;

beforeAll(async () => {
  const { hostname: host, port } = new URL(serviceAddress('TEST_POSTGRES_URL'));
  pool = createPostgresPool(
    postgresConfigSchema.parse({ host, port: Number(port), database: 'postgres' }),
    silentLogger,
  );
  await pool.query(
    `CREATE TABLE "${table}" (id text PRIMARY KEY, at timestamptz NOT NULL, n integer CHECK (n >= 0), tags text[], body jsonb, raw bytea, big bigint)`,
  );
  const { hostname, port: redisPort } = new URL(serviceAddress('TEST_REDIS_URL'));
  const config = redisConfigSchema.parse({ host: hostname, port: Number(redisPort) });
  redis = createRedis(config, silentLogger);
  await connectRedis(redis, config);
});
afterAll(async () => {
  await pool.query(`DROP TABLE "${table}"`);
  await pool.end();
  redis.disconnect();
});

interface Row {
  readonly id: string;
  readonly at: Date;
  readonly n: number;
  readonly [field: string]: unknown;
}

const intoTable = (newerBy?: string) =>
  postgresTable(pool, {
    table,
    key: ['id'],
    columns: ['id', 'at', 'n', 'tags', 'body', 'raw', 'big'],
    ...(newerBy === undefined ? {} : { newerBy }),
  });

let intoHashes: (rows: readonly Row[]) => Promise<void>;
beforeAll(() => {
  intoHashes = redisHashes<Row>(redis, {
    keyOf: ({ id }) => `${prefix}:${id}`,
    fieldsOf: ({ n, at: _, id: __, ...rest }) => ({ n, ...rest }),
    orderOf: ({ at }) => at.getTime(),
    ttlMs: 60_000,
  });
});

async function run(rows: readonly Row[], write: (batch: readonly Row[]) => Promise<unknown>, maxRecords = 7) {
  const letters: Collected<DeadLetter>[] = [];
  const deps = { log: silentLogger, metrics: createMetricsRegistry({ process: false }) };
  await runToEnd((root) => {
    const settings = { target: 'rows', write, maxRecords, firstDelayMs: 5, giveUpAfterMs: 200 };
    collectInto(root.apply(create(rows)).apply(writeTo<Row>(deps, settings)), letters);
  });
  return letters.map(({ value }) => value);
}

const rowOf = (id: string, second: number, n: number): Row => ({ id, at: new Date(second * 1_000), n });

test('every type of column comes back as it went', async () => {
  const row = {
    ...rowOf('types', 1, 3),
    tags: ['a', 'b "c"'],
    body: { x: [1, null] },
    raw: new Uint8Array([0, 255]),
    big: 2n ** 60n,
  };
  expect(await run([row], intoTable())).toEqual([]);
  const { rows } = await pool.query(`SELECT * FROM "${table}" WHERE id = 'types'`);
  expect(rows[0]).toEqual({ ...row, raw: Buffer.from([0, 255]), big: String(2n ** 60n) });
});

test('in whatever order and batches rows come, again and again, the newest of each key stays', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ key: fc.nat(4), second: fc.nat(20), n: fc.nat(100) }), { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 1, max: 8 }),
      async (writes, maxRecords) => {
        const own = randomUUID().slice(0, 8);
        // One value for a key and time: between equals the last one wins, and which that is depends on the batches.
        const rows = writes.map(({ key, second }) => rowOf(`${own}-${key}`, second, key * 100 + second));
        const newest = new Map<string, number>();
        for (const { id, n } of rows) newest.set(id, Math.max(newest.get(id) ?? 0, n));
        for (let again = 0; again < 2; again += 1) {
          expect(await run(rows, intoTable('at'), maxRecords)).toEqual([]);
          expect(await run(rows, intoHashes, maxRecords)).toEqual([]);
        }
        const { rows: held } = await pool.query<Row>(`SELECT id, n FROM "${table}" WHERE id LIKE '${own}%'`);
        expect(new Map(held.map(({ id, n }) => [id, n]))).toEqual(newest);
        for (const [id, n] of newest) expect(Number(await redis.hget(`${prefix}:${id}`, 'n'))).toBe(n);
      },
    ),
    { numRuns: 25 },
  );
}, 60_000);

test('a hash is replaced whole, and expires', async () => {
  await intoHashes([{ ...rowOf('whole', 1, 1), tags: ['x'], note: 'old' }]);
  await intoHashes([{ ...rowOf('whole', 2, 2), note: null }]);
  expect(await redis.hgetall(`${prefix}:whole`)).toEqual({ n: '2', _order: '2000' });
  expect(await redis.pttl(`${prefix}:whole`)).toBeGreaterThan(0);
});

test('a row that the target can never take becomes a dead letter; the others are written', async () => {
  const rows = [rowOf('good-1', 1, 1), rowOf('bad', 1, -1), rowOf('good-2', 1, 1)];
  const [letter, ...more] = await run(rows, intoTable());
  expect(more).toEqual([]);
  expect(letter).toMatchObject({ stage: 'sink.rows', payload: expect.stringContaining('"bad"') });
  expect(letter?.reason).toMatch(/PostgreSQL cannot take the record with key "bad".*check constraint/);
  const { rows: held } = await pool.query(`SELECT id FROM "${table}" WHERE id LIKE 'good-%' ORDER BY id`);
  expect(held).toEqual([{ id: 'good-1' }, { id: 'good-2' }]);

  await redis.set(`${prefix}:bad`, 'not a hash');
  const [refused] = await run([rowOf('good-3', 1, 1), rowOf('bad', 1, 1)], intoHashes);
  expect(refused?.reason).toMatch(/Redis cannot take the record with key ".*:bad".*WRONGTYPE/);
  expect(await redis.hget(`${prefix}:good-3`, 'n')).toBe('1');
});

test('a table that is not there is named, and nothing is thrown away', async () => {
  const write = postgresTable(pool, { table: 'public.no_such_table', key: ['id'], columns: ['id', 'n'] });
  await expect(run([rowOf('a', 1, 1)], write)).rejects.toThrow(
    /PostgreSQL table public\.no_such_table cannot be written: relation .* does not exist/,
  );
});
