import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { encodeRows } from '#connectors/files/encode_rows';
import { createFileSystems } from '#connectors/files/file_systems';
import { HistoryFiles, type HistoryReading } from '#connectors/files/history_files';
import { DefinitionError } from '#feature_store/definitions/errors';
import { type History, source } from '#feature_store/definitions/sources/source';
import { MIN_EVENT_TIME, processingTime } from '#kernel/time';
import { createRowDecoder } from '#pipelines/events/row_decoder';

// Files of any layout: columns of other names, ids made of columns, times in every form. What cannot be read names file, row, field and value, and what to do.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'layouts-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const NOW = processingTime(Date.UTC(2026, 10, 28));
const schema = z.strictObject({
  ...{ user_id: z.string(), timestamp: z.string(), amount: z.number() },
  country: z.string().optional(),
});
const withFlags = schema.extend({ vip: z.boolean().nullable(), visits: z.int().optional() });
const sourceOf = (layout: object, of = schema) =>
  source('orders', { schema: of, history: { files: ['x'], ...layout } as History });

let count = 0;
function file(suffix: string, content: string | Buffer, below = ''): string {
  count += 1;
  mkdirSync(join(folder, below), { recursive: true });
  const path = join(folder, below, `file-${count}.${suffix}`);
  writeFileSync(path, content);
  return path;
}

/** Events and reasons of files, in their order. */
async function read(pattern: string, layout: object = {}, reading: HistoryReading = {}, of = schema) {
  const decode = createRowDecoder([sourceOf(layout, of)], { now: () => NOW });
  const files = new HistoryFiles(createFileSystems({}), reading);
  const found: unknown[] = [];
  for (const path of await files.find([pattern])) {
    for (let at: number | undefined = 0; at !== undefined; ) {
      const piece: Awaited<ReturnType<HistoryFiles['read']>> = await files.read(path, at);
      for (const [index, row] of piece.rows.entries()) {
        const { element, eventTimeMs } = decode(row, path, MIN_EVENT_TIME, () => piece.placeOf(index));
        if (element.ok === true) found.push({ ...element.event, timestamp: eventTimeMs });
        else if (element.ok === false) found.push(element.reason);
      }
      at = piece.next;
    }
  }
  await files.close();
  return found;
}

const AT = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const event = { event_type: 'orders', user_id: 'u1', timestamp: AT, amount: 3.3 };
const LAYOUT = { columns: { user_id: 'customer', timestamp: 'ts', amount: 'payment.total' }, id: ['customer', 'ts'] };

test('columns of other names, inside of others, and an id made of columns: the same in every format', async () => {
  const row = { customer: 'u1', ts: new Date(AT), payment: { total: 3.3 }, unrelated: 'x' };
  const inJson = { ...row, ts: row.ts.toISOString() };
  const [first] = await read(file('parquet', encodeRows('parquet', [row])), LAYOUT);
  expect(first).toEqual({ ...event, event_id: expect.stringMatching(/^[0-9a-f]{32}$/) });
  expect(await read(file('jsonl', `${JSON.stringify(inJson)}\n`), LAYOUT)).toEqual([first]);
  const flat = { ...LAYOUT, columns: { ...LAYOUT.columns, amount: 'total' } };
  expect(await read(file('csv', `customer,ts,total,unrelated\nu1,${inJson.ts},3.30,x\n`), flat)).toEqual([first]);
  const other = await read(file('csv', `customer,ts,total\nu2,${inJson.ts},3.30\n`), flat);
  expect(other).not.toMatchObject([{ event_id: (first as { readonly event_id: string }).event_id }]);
});

test.each([
  ['s', '1767323045.678'],
  ['ms', '1767323045678'],
  ['us', '1767323045678901'],
  ['ns', '1767323045678901234'],
  ['%d.%m.%Y %H:%M:%S.%f', '02.01.2026 03:04:05.678901'],
  [undefined, '2026-01-02 03:04:05.678+00'],
  [undefined, '2026-01-02T03:04:05.678'],
])('times in the form %s', async (format, text) => {
  const layout = { time: format === undefined ? {} : { format } };
  const rows = `event_id,user_id,timestamp,amount\ne,u1,${text},3.3\n`;
  expect(await read(file('csv', rows), layout)).toEqual([{ ...event, event_id: 'e' }]);
  if (format === undefined || format.startsWith('%')) return;
  const typed = { event_id: 'e', user_id: 'u1', amount: 3.3, timestamp: format === 's' ? Number(text) : BigInt(text) };
  expect(await read(file('parquet', encodeRows('parquet', [typed])), layout)).toEqual([{ ...event, event_id: 'e' }]);
});

test('times without a zone are of the zone of the history; those with one keep it', async () => {
  const rows =
    'event_id,user_id,timestamp,amount\ne,u1,2026-01-02 04:04:05.678,3.3\ne,u1,2026-01-02 03:04:05.678+00,3.3\n';
  const found = await read(file('csv', rows), { time: { zone: 'Europe/Berlin' } });
  expect(found).toEqual([
    { ...event, event_id: 'e' },
    { ...event, event_id: 'e' },
  ]);
  const skipped = 'event_id,user_id,timestamp,amount\ne,u1,2026-03-29 02:30:00,3.3\n';
  expect(await read(file('csv', skipped), { time: { zone: 'Europe/Berlin' } })).toEqual([
    expect.stringMatching(/timestamp holds "2026-03-29 02:30:00", which clocks in Europe\/Berlin never show.*row 1\)$/),
  ]);
});

test('booleans and missing values as pandas, polars, R and databases write them in CSV', async () => {
  const cells = [
    ...['True,', 'true,NaN', 'TRUE,<NA>', '1,NA', '1.0,null'],
    ...['False,5', 'false,5.0', 'FALSE,', '0,None', '0.0,NULL'],
    ...[',nan', 'NaN,', 'None,N/A'],
  ];
  const rows = cells.map((cell) => `e,u1,2026-01-02T03:04:05.678Z,3.3,${cell}\n`).join('');
  const found = await read(
    file('csv', `event_id,user_id,timestamp,amount,vip,visits\n${rows}`),
    {},
    {},
    withFlags as never,
  );
  const vips = [...Array(5).fill(true), ...Array(5).fill(false), null, null, null];
  expect(found).toEqual(
    vips.map((vip, at) => ({ ...event, event_id: 'e', vip, ...([5, 6].includes(at) ? { visits: 5 } : {}) })),
  );
});

test('columns of folders are read where the schema has them, also missing and escaped ones', async () => {
  const content = encodeRows('parquet', [{ event_id: 'e', timestamp: new Date(AT), amount: 3.3 }]);
  file('snappy.parquet', content, 'lake/year=2026/user_id=u%2F1/country=DE');
  file('snappy.parquet', content, 'lake/year=2026/user_id=u2/country=__HIVE_DEFAULT_PARTITION__');
  file('parquet', '', 'lake/_temporary');
  writeFileSync(join(folder, 'lake', '_SUCCESS.parquet'), '');
  rmSync(join(folder, 'lake', '_temporary'), { recursive: true });
  expect(await read(join(folder, 'lake/**/*.parquet'))).toEqual([
    { ...event, event_id: 'e', user_id: 'u/1', country: 'DE' },
    { ...event, event_id: 'e', user_id: 'u2' },
  ]);
});

test('parts whose names do not follow time are sorted, and read again from any row', async () => {
  const rows = Array.from({ length: 5_000 }, (_, at) => ({
    ...{ event_id: `e${at}`, user_id: 'u1', amount: 1, timestamp: new Date(AT + ((at * 7_919) % 5_000)) },
  }));
  for (const [part, from] of [0, 2_000, 4_000].entries()) {
    file(`part-${part}.parquet`, encodeRows('parquet', rows.slice(from, from + 2_000)), 'unsorted');
  }
  const pattern = join(folder, 'unsorted/*.parquet');
  const reading = { sortsFiles: true, time: { name: 'timestamp', pattern: undefined } };
  const times = (await read(pattern, {}, reading)).map((found) => (found as { readonly timestamp: number }).timestamp);
  expect(times).toEqual(Array.from({ length: 5_000 }, (_, at) => AT + at));
  const files = new HistoryFiles(createFileSystems({}), reading);
  const [set = ''] = await files.find([pattern]);
  const { rows: rest, placeOf } = await files.read(set, 4_990);
  await files.close();
  expect(rest).toHaveLength(10);
  expect(placeOf(0)).toMatch(/unsorted\/file-\d+\.part-\d\.parquet, row \d+$/);
});

test.each([
  ['lots,True', /^amount: Invalid input: expected number, received string, not "lots" \(.*\.csv, row 2\)$/],
  ['3.3,maybe', /^vip: Invalid input: expected boolean, received string, not "maybe" \(.*\.csv, row 2\)$/],
  ['9007199254740993,True', /^amount holds the number 9007199254740993, which no double holds exactly.*row 2\)$/],
])('%s is refused by name', async (cells, reason) => {
  const good = 'e,u1,2026-01-02T03:04:05.678Z,3.3,True\n';
  const rows = `event_id,user_id,timestamp,amount,vip\n${good}e,u1,2026-01-02T03:04:05.678Z,${cells}\n`;
  expect((await read(file('csv', rows), {}, {}, withFlags as never))[1]).toMatch(reason);
});

test('a missing column says which there are, a number for a time that its unit is needed', async () => {
  const missing = await read(file('csv', 'event_id,customer,timestamp,amount\ne,u1,2026-01-02T03:04:05Z,1\n'));
  expect(missing).toEqual([
    expect.stringMatching(
      /^user_id: is missing .*The row has columns event_id, customer, timestamp, amount: name others with history.columns \(.*row 1\)$/,
    ),
  ]);
  const numeric = { event_id: 'e', user_id: 'u1', amount: 1, timestamp: BigInt(AT) };
  expect(await read(file('parquet', encodeRows('parquet', [numeric])))).toEqual([
    expect.stringMatching(/^timestamp holds the number 1767323045678: say its unit with history.time.format/),
  ]);
});

test('a layout that cannot be is refused where it is defined, with all problems at once', () => {
  const bad = () => sourceOf({ columns: { who: 'x' }, time: { format: 'fortnights', zone: 'Mars/Base' } });
  expect(bad).toThrow(DefinitionError);
  expect(bad).toThrow(/"who", which is no field.*"Mars\/Base" is no time zone.*"fortnights" is none of s, ms, us, ns/s);
});

test('tables say what they need: an extension of the right version, a current version', async () => {
  mkdirSync(join(folder, 'table/_delta_log'), { recursive: true });
  writeFileSync(join(folder, 'table/_delta_log/00000000000000000012.json'), '');
  const files = new HistoryFiles(createFileSystems({}));
  const [table = ''] = await files.find([`delta:${folder}/table`]);
  expect(table).toBe(`delta:${folder}/table@v12`);
  await expect(files.read(table, 0)).rejects.toThrow(
    /needs DuckDB's extension delta for v1\.5\.5.*pip install --no-deps --target FOLDER duckdb-extension-delta==1\.5\.5/,
  );
  await expect(files.find([`delta:${folder}/nothing`])).rejects.toThrow(
    /nothing\/_delta_log.*Name the folder of the table/,
  );
  mkdirSync(join(folder, 'ice/metadata'), { recursive: true });
  for (const name of ['00000-a', '00001-b']) writeFileSync(join(folder, `ice/metadata/${name}.metadata.json`), '{}');
  await expect(files.find([`iceberg:${folder}/ice`])).rejects.toThrow(
    /2 versions.*name the one.*00001-b\.metadata\.json/,
  );
  writeFileSync(join(folder, 'ice/metadata/version-hint.text'), '00000-a\n');
  expect(await files.find([`iceberg:${folder}/ice`])).toEqual([`iceberg:${folder}/ice/metadata/00000-a.metadata.json`]);
  await files.close();
});

test('a time with an offset is read in UTC where the field takes no offsets, in every format; a field that takes them keeps it', async () => {
  const strict = source('orders', {
    schema: z.strictObject({
      user_id: z.string(),
      timestamp: z.iso.datetime(),
      seen: z.iso.datetime().nullable(),
      local: z.iso.datetime({ offset: true }),
      as_text: z.string(),
    }),
    history: { files: ['x'] },
  });
  const decode = createRowDecoder([strict], { now: () => NOW });
  const row = {
    ...{ event_id: 'e1', user_id: 'u1', timestamp: '2026-01-02T03:04:05.678901+00:00' },
    ...{ seen: '2026-01-02T05:04:05+02:00', local: '2026-01-02T05:04:05+02:00', as_text: '2026-01-02T03:04:05+00:00' },
  };
  for (const path of [undefined, 'orders.csv']) {
    const { element } = decode({ ok: true, row }, path, MIN_EVENT_TIME);
    expect(element).toMatchObject({
      ok: true,
      event: { ...row, timestamp: '2026-01-02T03:04:05.678901Z', seen: '2026-01-02T03:04:05.000Z' },
    });
  }
});
