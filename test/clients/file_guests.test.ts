import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { createFileSystems } from '#connectors/files/file_systems';
import { HistoryFiles } from '#connectors/files/history_files';
import { eventSource } from '#feature_store/definitions/sources/source';
import { assetPath } from '#kernel/project_root';
import { MIN_EVENT_TIME, systemClock } from '#kernel/time';
import { createRowDecoder } from '#pipelines/events/row_decoder';
import { virtualEnvironment } from '#registry/trainers/python_environment';
import { byForm } from '../support/jest/forms.ts';

// Files that pandas, polars, pyarrow, DuckDB, Spark, delta-rs and pyiceberg write are one history: the same rows, with columns of every type and odd values, read equal.

const schema = z.strictObject({
  ...{ event_id: z.string(), user_id: z.string(), event_type: z.string(), timestamp: z.string() },
  ...{ amount: z.string(), price: z.number(), big: z.string() },
  ...{ count: z.int().optional(), ratio: z.number().optional(), ok: z.boolean().optional() },
  ...{ note: z.string().optional(), day: z.string().optional(), raw: z.string().optional() },
  ...{ tags: z.array(z.string()), place: z.strictObject({ city: z.string(), zip: z.int() }).optional() },
  vector: z.array(z.number()),
});
const source = eventSource({
  ...{ name: 'orders', eventTypes: ['order'], schema, schemaVersion: 1 },
  ...{ eventIdField: 'event_id', timestampField: 'timestamp' },
});

const text = fc
  .string({ unit: fc.constantFrom(...'ab é€😀,"\'=%:/;\t|x0'), minLength: 1, maxLength: 8 })
  .filter((made) => made.trim() === made && made !== '.' && made !== '..');
const hundredths = fc.bigInt({ min: -(10n ** 9n - 1n), max: 10n ** 9n - 1n });
const decimal = (digits: bigint): string => {
  const size = String(digits < 0n ? -digits : digits).padStart(3, '0');
  return `${digits < 0n ? '-' : ''}${size.slice(0, -2)}.${size.slice(-2)}`;
};
const micros = fc
  .bigInt({ min: 0n, max: 1_700_000_000_000_000n })
  .map(
    (at) => `${new Date(Number(at / 1_000n)).toISOString().slice(0, -1)}${String(at % 1_000n).padStart(3, '0')}+00:00`,
  );
const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of, { freq: 3 });
const rowArbitrary = fc.record({
  user_id: fc.constantFrom('u1', '007', '1e3', 'true', 'NaN', 'null'),
  timestamp: micros,
  amount: fc.oneof(hundredths, fc.bigInt({ min: 10n ** 20n, max: 10n ** 36n }), fc.constant(330n)).map(decimal),
  price: fc.oneof(hundredths, fc.constant(57n)).map(decimal),
  big: fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.constant(2n ** 53n + 1n)).map(String),
  count: maybe(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })),
  ratio: maybe(
    fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 }).map((x) => Number(x.toPrecision(15)) + 0),
  ),
  ok: maybe(fc.boolean()),
  note: maybe(text),
  day: maybe(fc.integer({ min: 0, max: 20_000 }).map((days) => new Date(days * 86_400_000).toISOString().slice(0, 10))),
  raw: maybe(fc.uint8Array({ minLength: 1, maxLength: 6 }).map((bytes) => Buffer.from(bytes).toString('hex'))),
  tags: fc.array(text, { maxLength: 3 }),
  place: maybe(fc.record({ city: text, zip: fc.maxSafeInteger() })),
  vector: fc.array(fc.constantFrom(0, 0.5, -1.25, 3), { maxLength: 4 }),
});
type Written = typeof rowArbitrary extends fc.Arbitrary<infer T> ? T & { readonly event_id: string } : never;

/** What a row is as an event. */
const eventOf = ({ timestamp, price, raw, ...row }: Written): Record<string, unknown> => ({
  ...Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null)),
  ...{ event_type: 'order', timestamp: Date.parse(timestamp), price: Number(price) },
  ...(raw === null ? {} : { raw: Buffer.from(raw, 'hex').toString('base64') }),
});

let folder: string;
let python: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'file-guests-'));
  python = await virtualEnvironment(assetPath('test/support/guests/file_guests_requirements.txt'), {
    onLine: () => {},
  });
  const packages = spawnSync(python, ['-c', 'import duckdb_extension_delta as d; print(d.__file__)'], {
    encoding: 'utf8',
  });
  process.env.DUCKDB_EXTENSIONS = dirname(dirname(packages.stdout.trim()));
}, 600_000);
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  delete process.env.DUCKDB_EXTENSIONS;
});

function write(name: string, rows: readonly Written[]): Readonly<Record<string, string>> {
  const place = join(folder, name);
  mkdirSync(place);
  const asked = JSON.stringify({ folder: place, rows });
  const { stdout, stderr, status } = spawnSync(python, [assetPath('test/support/guests/file_guests.py')], {
    ...{ input: asked, encoding: 'utf8', maxBuffer: 1e9 },
  });
  if (status !== 0) throw new Error(stderr.slice(-3_000));
  return JSON.parse(stdout) as Record<string, string>;
}

/** The events of files, by id; times in ms. @throws for a row that is refused */
async function read(pattern: string): Promise<readonly Record<string, unknown>[]> {
  const decode = createRowDecoder([source], systemClock);
  const files = new HistoryFiles(createFileSystems({}), { time: { name: 'timestamp', pattern: undefined } });
  const events: Record<string, unknown>[] = [];
  try {
    for (const path of await files.find([pattern])) {
      for (let at: number | undefined = 0; at !== undefined; ) {
        const piece: Awaited<ReturnType<HistoryFiles['read']>> = await files.read(path, at);
        for (const [index, row] of piece.rows.entries()) {
          const { element } = decode(row, path, MIN_EVENT_TIME, () => piece.placeOf(index));
          if (element.ok !== true) throw new Error(element.ok === false ? element.reason : 'an erasure');
          events.push({ ...element.event, timestamp: element.eventTimeMs });
        }
        at = piece.next;
      }
    }
  } finally {
    await files.close();
  }
  return events.sort((a, b) => (String(a.event_id) < String(b.event_id) ? -1 : 1));
}

/** Columns that pandas cannot write in this form. */
const WITHOUT: Readonly<Record<string, readonly string[]>> = { 'pandas-nullable.csv': ['note', 'raw', 'place', 'day'] };

test('every guest writes the same history', async () => {
  const samples = fc.sample(fc.array(rowArbitrary, { minLength: 8, maxLength: 8 }), {
    numRuns: byForm({ short: 2, long: 4 }),
    seed: 22,
  });
  for (const [index, sample] of samples.entries()) {
    const rows = sample.map((row, at) => ({ ...row, event_id: `e${at}` })) as Written[];
    const written = write(`run-${index}`, rows);
    expect(Object.keys(written).length).toBeGreaterThan(20);
    for (const [guest, pattern] of Object.entries(written)) {
      const without = WITHOUT[guest] ?? [];
      const expected = rows.map((row) =>
        Object.fromEntries(Object.entries(eventOf(row)).filter(([name]) => !without.includes(name))),
      );
      expect({ guest, events: await read(pattern) }).toEqual({ guest, events: expected });
    }
  }
}, 600_000);
