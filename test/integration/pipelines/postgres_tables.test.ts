import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type pg from 'pg';
import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import type { TableReading } from '#connectors/postgres/table_reader';
import type { TableRow } from '#connectors/postgres/table_writer';
import { createUrlPool } from '#connectors/postgres/url_pool';
import { assetPath } from '#kernel/project_root';
import { type WritePostgresSettings, writePostgres } from '#pipelines/io/postgres_sink';
import { readPostgres } from '#pipelines/io/postgres_source';
import type { PipelineRoot } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { create, parDo } from '#pipelines/model/transforms';
import { runEmbedded } from '#pipelines/runner/embedded';
import { type Collected, collectInto, runToEnd } from '#pipelines/testing/collect';
import { until } from '../../support/turns.ts';
import { serviceAddress } from '../service_address.ts';

// Tables of PostgreSQL as a source and sink of pipelines.

const url = (): string => serviceAddress('TEST_POSTGRES_URL');
let pool: pg.Pool;
let directory: string;
const schema = `tables_${randomUUID().slice(0, 8)}`;

beforeAll(async () => {
  pool = createUrlPool({ url: url(), maxConnections: 4, statementTimeoutMs: 60_000, applicationName: 'test' });
  await pool.query(`CREATE SCHEMA ${schema}`);
});
afterAll(async () => {
  await pool.query(`DROP SCHEMA ${schema} CASCADE`);
  await pool.end();
});
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tables-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

let tables = 0;
async function createTable(columns: string, fill?: string): Promise<string> {
  tables += 1;
  const table = `${schema}.t${tables}`;
  await pool.query(`CREATE TABLE ${table} (${columns})`);
  if (fill !== undefined) await pool.query(`INSERT INTO ${table} ${fill}`);
  return table;
}

async function readAll(reading: TableReading): Promise<readonly TableRow[]> {
  const into: Collected<TableRow>[] = [];
  await runToEnd((root) => collectInto(root.apply(readPostgres({ url: url(), ...reading })), into), { strict: true });
  return into.map(({ value }) => value);
}

async function writeAll(rows: readonly TableRow[], settings: Omit<WritePostgresSettings, 'url'>) {
  const letters: Collected<DeadLetter>[] = [];
  await runToEnd((root) =>
    collectInto(root.apply(create(rows)).apply(writePostgres({ url: url(), ...settings })), letters),
  );
  return letters.map(({ value }) => value);
}

test('values of every type come back exactly as they were written', async () => {
  const table =
    await createTable(`id text PRIMARY KEY, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision, n numeric, money numeric(18,2),
    b boolean, raw bytea, at timestamptz, local timestamp, day date, gap interval, u uuid, j json, jb jsonb,
    strings text[], longs bigint[], decimals numeric[], raws bytea[], grid integer[][], "Odd ""name" varchar(40), c char(5)`);
  const row = {
    ...{
      id: 'a\tb\\c\nd\re "f"',
      i2: -32_768,
      i4: 2_147_483_647,
      i8: -(2n ** 63n),
      f4: 0.1,
      f8: 1.7976931348623157e308,
    },
    ...{ n: '-123456789012345678901234567890.000000000000000000001', money: '12345678901234.50', b: false },
    ...{
      raw: new Uint8Array([0, 9, 10, 13, 92, 255]),
      at: '2026-11-29T10:00:00.123456Z',
      local: '0001-01-01T00:00:00.000000Z',
    },
    ...{ day: '2024-02-29', gap: '1 mon 2 days 03:04:05.5', u: '7d444840-9dc0-11d1-b245-5ffdce74fad2' },
    ...{ j: { z: [1, null, 'ü\u2028'] }, jb: 'a string' },
    ...{ strings: ['', 'a,b', '{"x"}', 'NULL', null, ' \\'], longs: [2n ** 60n, null], decimals: ['1.10'] },
    ...{
      raws: [new Uint8Array([1]), new Uint8Array()],
      grid: [
        [1, 2],
        [3, 4],
      ],
      'Odd "name': 'x',
      c: 'ab   ',
    },
  };
  const empty = Object.fromEntries(Object.keys(row).map((name) => [name, name === 'id' ? 'empty' : null]));
  const special = {
    ...empty,
    id: 'special',
    f4: Number.NEGATIVE_INFINITY,
    f8: Number.NaN,
    n: 'NaN',
    at: 'infinity',
    strings: [],
  };
  const columns = Object.keys(row);
  expect(await writeAll([row, empty, special], { table, key: ['id'], columns })).toEqual([]);
  const read = await readAll({ table });
  const [one, two, three] = ['a', 'e', 's'].map((letter) => read.find(({ id }) => String(id).startsWith(letter)));
  expect(one).toEqual(row);
  expect(two).toEqual(empty);
  expect(three).toEqual(special);
  const other = await createTable('id integer PRIMARY KEY, f double precision, j jsonb');
  await writeAll([{ id: 1, f: -0, j: [2n ** 64n] }], { table: other, key: ['id'], columns: ['id', 'f', 'j'] });
  expect(Object.is((await readAll({ table: other, columns: ['f'] }))[0]?.f, -0)).toBe(true);
  expect((await pool.query(`SELECT j::text FROM ${other}`)).rows).toEqual([{ j: '[18446744073709551616]' }]);
});

test('however a table is split, each row comes once, with the condition that is given', async () => {
  const keyed = await createTable(
    'a text COLLATE "C", b numeric, n integer, PRIMARY KEY (a, b)',
    `SELECT chr(97 + i % 7), i / 3.0, i FROM generate_series(0, 2999) AS i`,
  );
  const plain = await createTable(
    'n integer, pad text',
    `SELECT i, repeat('x', i % 300) FROM generate_series(0, 2999) AS i`,
  );
  const partitioned = `${schema}.parted`;
  await pool.query(`CREATE TABLE ${partitioned} (n integer) PARTITION BY RANGE (n);
    CREATE TABLE ${partitioned}_1 PARTITION OF ${partitioned} FOR VALUES FROM (0) TO (1000);
    CREATE TABLE ${partitioned}_2 PARTITION OF ${partitioned} DEFAULT;
    INSERT INTO ${partitioned} SELECT generate_series(0, 2999)`);
  await pool.query(`CREATE VIEW ${schema}.seen AS SELECT n, pad FROM ${plain}`);
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom<TableReading>(
        { table: keyed },
        { table: plain },
        { table: partitioned },
        { table: `${schema}.seen`, key: ['n'] },
      ),
      fc.integer({ min: 1, max: 9 }),
      fc.constantFrom(7, 400, 5_000),
      fc.boolean(),
      async (reading, parts, pageRows, isEven) => {
        const where = isEven ? { where: 'n % 2 = 0' } : {};
        const rows = await readAll({ ...reading, parts, pageRows, columns: ['n'], ...where });
        const expected = Array.from({ length: 3_000 }, (_, n) => n).filter((n) => !isEven || n % 2 === 0);
        expect(rows.map(({ n }) => n as number).sort((a, b) => a - b)).toEqual(expected);
      },
    ),
    { numRuns: 16 },
  );
  await pool.query(`ANALYZE ${keyed}`);
  expect(await readAll({ table: keyed, parts: 3 })).toHaveLength(3_000);
}, 60_000);

test.each(['key', 'place'])(
  'parts read by %s are of one moment, while others write',
  async (by) => {
    const table = await createTable(
      `id integer ${by === 'key' ? 'PRIMARY KEY' : ''}, amount bigint`,
      'SELECT i, 100 FROM generate_series(1, 4000) AS i',
    );
    let isReading = true;
    let transfers = 0;
    const transfer = async (): Promise<void> => {
      while (isReading) {
        const [a, b] = [1, 2].map(() => 1 + Math.floor(Math.random() * 4_000));
        await pool.query(`UPDATE ${table} SET amount = amount + CASE id WHEN ${a} THEN -7 ELSE 7 END WHERE id IN (${a}, ${b}) AND ${a} <> ${b};
        DELETE FROM ${table} WHERE id = ${4_000 + transfers} AND id > 4000; INSERT INTO ${table} VALUES (${4_001 + transfers}, 0)`);
        transfers += 1;
      }
    };
    const writing = [transfer()];
    await until(() => transfers > 5);
    const rows = await readAll({ table, parts: 8, pageRows: 20 });
    isReading = false;
    await Promise.all(writing);
    const sum = rows.reduce((total, { amount }) => total + (amount as bigint), 0n);
    expect(sum).toBe(400_000n);
    expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length);
    expect(transfers).toBeGreaterThan(20);
  },
  60_000,
);

test('a table, column or key that does not fit is named', async () => {
  const table = await createTable('id integer, big jsonb', `VALUES (1, '{"x": 1.00000000000000000001}')`);
  await expect(readAll({ table: `${schema}.none` })).rejects.toThrow(
    /table .*none cannot be read: relation .* does not exist/,
  );
  await expect(readAll({ table, columns: ['gone'] })).rejects.toThrow(/column "gone" does not exist/);
  await expect(readAll({ table, key: ['id'] })).rejects.toThrow(
    /no unique index holds exactly the columns of `key`, id/,
  );
  await expect(readAll({ table })).rejects.toThrow(/column "big" holds .*Read it as text, through a view/);
});

test('connections that are ended while a table is read cost nothing but time', async () => {
  const table = await createTable(
    'id integer PRIMARY KEY, n integer',
    'SELECT i, i FROM generate_series(1, 6000) AS i',
  );
  const into: Collected<TableRow>[] = [];
  const job = runEmbedded(
    createPipeline((root) =>
      collectInto(root.apply(readPostgres({ url: url(), table, parts: 4, pageRows: 50 })), into),
    ),
  );
  for (let kills = 0; kills < 3; kills += 1) {
    const seen = into.length;
    await Promise.race([until(() => into.length > seen + 500 || job.state === 'failed'), job.finished]);
    await pool.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'headwater table' AND query LIKE $1",
      [`%${table.split('.')[1]}%`],
    );
  }
  await job.finished;
  expect(into.map(({ value }) => value.id as number).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 6_000 }, (_, at) => at + 1),
  );
}, 60_000);

const copying =
  (from: string, to: string, onRow: () => void) =>
  (root: PipelineRoot): void => {
    root
      .apply(readPostgres({ url: url(), table: from, parts: 3, pageRows: 40 }))
      .apply(
        parDo<TableRow, TableRow>(
          {
            process(row, context) {
              onRow();
              context.output(row);
            },
          },
          { name: 'Count' },
        ),
      )
      .apply(writePostgres({ url: url(), table: to, key: ['id'], columns: ['id', 'n'], batchRows: 15 }));
  };

test('a job that restarts reads on by key, as of the restart; by place it fails, and says what to do', async () => {
  const to = await createTable('id integer PRIMARY KEY, n integer');
  const from = await createTable('id integer PRIMARY KEY, n integer', 'SELECT i, i FROM generate_series(1, 3000) AS i');
  const run = async (table: string, until_: number): Promise<void> => {
    let rows = 0;
    let onEnough = (): void => {};
    const enough = new Promise<void>((resolve) => {
      onEnough = resolve;
    });
    const job = runEmbedded(
      createPipeline(
        copying(table, to, () => {
          rows += 1;
          if (rows === until_) onEnough();
        }),
      ),
      { snapshots: { directory, intervalMs: 0 }, maxRetries: 0 },
    );
    await Promise.race([enough, job.finished]);
    if (until_ < 10_000) await job.cancel();
    else await job.finished;
  };
  for (const stop of [700, 500, 900, 10_000]) await run(from, stop);
  const { rows } = await pool.query(`SELECT count(*)::int AS rows, sum(n)::int AS sum FROM ${to}`);
  expect(rows).toEqual([{ rows: 3_000, sum: 4_501_500 }]);

  directory = join(directory, 'by place');
  const plain = await createTable('id integer, n integer', 'SELECT i, i FROM generate_series(1, 3000) AS i');
  await run(plain, 900);
  await expect(run(plain, 10_000)).rejects.toThrow(/the snapshot that it was read as of is gone.*name `key`/s);
}, 60_000);

test('kill -9 of a job that copies a table, again and again: each row is in the copy once', async () => {
  const columns = 'id bigint PRIMARY KEY, n numeric, body jsonb';
  const from = await createTable(
    columns,
    `SELECT i, i / 7.0, jsonb_build_object('i', i) FROM generate_series(1, 20000) AS i`,
  );
  const to = await createTable(columns);
  const args = [
    'pipelines',
    'run',
    assetPath('test/support/copy_table.mjs'),
    '--snapshots',
    directory,
    '--snapshot-interval',
    '20',
  ];
  const options = { url: url(), from, to, parts: '5' };
  for (const [name, value] of Object.entries(options)) args.push('--option', `${name}=${value}`);
  const copied = async (): Promise<number> =>
    Number((await pool.query<{ n: string }>(`SELECT count(*) AS n FROM ${to}`)).rows[0]?.n);
  const start = () =>
    spawn(process.execPath, [assetPath('dist/cli/headwater.js'), ...args], {
      env: { ...process.env, NODE_OPTIONS: '', LOG_LEVEL: 'error' },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  for (const share of [0.1, 0.5]) {
    const job = start();
    while ((await copied()) < 20_000 * share && job.exitCode === null) await sleep(5);
    job.kill('SIGKILL');
    await once(job, 'exit');
    expect(await copied()).toBeLessThan(20_000);
  }
  const job = start();
  const [code] = await once(job, 'exit');
  expect(code).toBe(0);
  const { rows } = await pool.query(`(TABLE ${from} EXCEPT TABLE ${to}) UNION ALL (TABLE ${to} EXCEPT TABLE ${from})`);
  expect(rows).toEqual([]);
  expect(await copied()).toBe(20_000);
}, 120_000);

test('rows of a key are one: the newest by a column, or the first where rows are kept; what is refused comes out alone', async () => {
  const columns = ['id', 'at', 'n'];
  const table = await createTable('id integer PRIMARY KEY, at bigint, n smallint CHECK (n >= 0)');
  const row = (id: number, at: number, n: number): TableRow => ({ id, at: BigInt(at), n });
  const held = async () => (await pool.query<TableRow>(`SELECT id, n FROM ${table} ORDER BY id`)).rows;
  const letters = await writeAll(
    [row(1, 2, 2), row(1, 1, 1), row(2, 1, -1), row(3, 1, 70_000), { id: 4, at: {}, n: 1 }],
    {
      ...{ table, key: ['id'], columns, newerBy: 'at' },
    },
  );
  expect(await held()).toEqual([{ id: 1, n: 2 }]);
  expect(letters.map(({ reason }) => reason).sort()).toEqual([
    expect.stringMatching(/key "2".*check constraint/),
    expect.stringMatching(/key "3".*out of range/),
    expect.stringMatching(/key "4".*column "at" is of type int8, and the value is of type object/),
  ]);
  await writeAll([row(1, 9, 9), row(5, 1, 5)], { table, key: ['id'], columns, whenHeld: 'keep' });
  expect(await held()).toEqual([
    { id: 1, n: 2 },
    { id: 5, n: 5 },
  ]);
  // A column that gets another type while a job writes.
  const write = (n: number) => writeAll([row(6, 1, n)], { table, key: ['id'], columns });
  expect(await write(6)).toEqual([]);
  await pool.query(`ALTER TABLE ${table} ALTER n TYPE integer`);
  expect(await write(70_000)).toEqual([]);
  await expect(writeAll([row(1, 1, 1)], { table, key: ['at'], columns, giveUpAfterMs: 100 })).rejects.toThrow(
    /no unique or exclusion constraint matching the ON CONFLICT/,
  );
}, 60_000);
