import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type OfflineDatabase, sqlOfflineDatabase } from '#cli/parts/offline_database';
import { PgliteExecutor } from '#feature_store/database/pglite_executor';
import { PlatformError } from '#kernel/errors';
import { eventTime, processingTime } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { keyOf } from '../support/entity_keys.ts';
import { flipped, temporaryFolder } from '../support/servers/disk_folder.ts';

// The embedded database's files are damaged between two starts: the start names the folder, or every row is right, or reading names the database.

const ROWS = 500;
const VIEW = { view: 'damage', version: 1 };
const FROM_MS = Date.UTC(2026, 0, 1);

const root = temporaryFolder('pglite');
const directory = join(root, 'offline');
/** The folder as it was closed. */
const template = join(root, 'template');
/** Path of the file that holds the rows. */
let rowsFile: string;

const open = (): { readonly sql: PgliteExecutor; readonly store: OfflineDatabase } => {
  const sql = new PgliteExecutor(directory);
  return { sql, store: sqlOfflineDatabase({ sql, log: silentLogger }, 'pglite') };
};

const rows = Array.from({ length: ROWS }, (_, index) => ({
  ...{ ...VIEW, entityKey: keyOf(`u${index}`), eventTime: eventTime(FROM_MS + index), computedAt: processingTime(1) },
  values: { content: `content of ${index} ${'x'.repeat(50)}` },
}));

beforeAll(async () => {
  const { sql, store } = open();
  await store.start();
  await store.features.write(rows);
  const [table] = await sql.query<{ readonly path: string }>(
    `SELECT pg_relation_filepath(c.oid) AS path FROM pg_class c
     JOIN pg_inherits i ON i.inhrelid = c.oid WHERE i.inhparent = 'feature_rows'::regclass ORDER BY c.relpages DESC, c.oid LIMIT 1`,
  );
  rowsFile = table?.path ?? '';
  await sql.query('CHECKPOINT');
  await store.stop();
  cpSync(directory, template, { recursive: true });
}, 120_000);
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** What a start and a read of all rows come to. */
async function outcome(): Promise<string> {
  const { store } = open();
  try {
    await store.start();
  } catch (error) {
    expect(error).toBeInstanceOf(PlatformError);
    expect((error as Error).message).toContain(directory);
    return `refused: ${(error as PlatformError).code}`;
  }
  try {
    const range = { from: eventTime(FROM_MS), to: eventTime(FROM_MS + ROWS) };
    const found = await store.features.rowsBetween(VIEW, range, { limit: ROWS * 2, after: undefined });
    const contents = new Map(found.map(({ entityKey, values }) => [entityKey, values.content]));
    const wrong = rows.filter(({ entityKey, values }) => contents.get(entityKey) !== values.content);
    return wrong.length === 0 ? 'whole' : `${wrong.length} rows missing or wrong`;
  } catch (error) {
    expect(error).toBeInstanceOf(PlatformError);
    return `read refused: ${(error as PlatformError).code}`;
  } finally {
    await store.stop();
  }
}

/** Puts the folder back as it was closed, but for one file. */
function layOut(name: string | undefined, change: (bytes: Buffer) => Buffer | undefined): void {
  rmSync(directory, { recursive: true, force: true });
  cpSync(template, directory, { recursive: true });
  if (name === undefined) return;
  const file = join(directory, name === 'rows' ? rowsFile : name);
  const changed = change(readFileSync(file));
  if (changed === undefined) rmSync(file);
  else writeFileSync(file, changed);
}

test('without damage every row is there', async () => {
  layOut(undefined, () => undefined);
  expect(await outcome()).toBe('whole');
}, 60_000);

test.each<[string, string, (bytes: Buffer) => Buffer | undefined]>([
  ['PG_VERSION', 'is missing', () => undefined],
  ['PG_VERSION', 'is empty', () => Buffer.alloc(0)],
  ['global/pg_control', 'is missing', () => undefined],
  ['global/pg_control', 'is cut', (bytes) => bytes.subarray(0, 40)],
  ['global/pg_control', 'has a bit turned over', (bytes) => flipped(bytes, 8 * 40)],
  ['global/pg_filenode.map', 'has a bit turned over', (bytes) => flipped(bytes, 8 * 20)],
  ['rows', 'has a bit turned over', (bytes) => flipped(bytes, 8 * 8_000)],
  [
    'rows',
    'has a sector of zeros',
    (bytes) => Buffer.concat([bytes.subarray(0, 4_096), Buffer.alloc(512), bytes.subarray(4_608)]),
  ],
  ['rows', 'is cut in the middle of a page', (bytes) => bytes.subarray(0, bytes.length - 5_000)],
  ['rows', 'is cut at a page', (bytes) => bytes.subarray(0, bytes.length - 8_192)],
  ['rows', 'is missing', () => undefined],
])(
  '%s %s: a named error, or every row',
  async (name, _, change) => {
    layOut(name, change);
    const found = await outcome();
    expect(found).toMatch(/^(refused: FEATURE_STORE_OFFLINE|read refused: FEATURE_STORE_OFFLINE|whole)/);
  },
  120_000,
);
