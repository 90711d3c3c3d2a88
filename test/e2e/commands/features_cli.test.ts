import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parquetReadObjects } from 'hyparquet';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '#kernel/time';
import { runCommand } from '../../support/platforms/command_line.ts';

// Feature commands as a user gives them, embedded: history in, training sets and statistics out.

const NOW = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'features-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Outcome {
  readonly code: number;
  /** The last line of what it printed, as JSON. */
  readonly last: Record<string, unknown>;
  readonly lines: readonly string[];
  readonly stderr: string;
}

async function headwater(...args: readonly string[]): Promise<Outcome> {
  const { code, stdout, stderr } = await runCommand(folder, args);
  const lines = stdout.trim().split('\n');
  const text = lines.at(-1) ?? '';
  return { code, lines, stderr, last: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {} };
}

const transaction = (index: number) => ({
  event_id: `t${index}`,
  user_id: `u${index % 5}`,
  event_type: 'transaction',
  timestamp: new Date(NOW - 3 * DAY_MS + index * 20 * MINUTE_MS + 17).toISOString(),
  account_id: `a${index % 5}`,
  amount: index + 1,
  currency: 'EUR',
  merchant_id: 'm1',
  merchant_category: 'grocery',
  country: 'DE',
});

const purchase = (index: number) => ({
  event_id: `p${index}`,
  user_id: `u${index % 3}`,
  event_type: 'purchase',
  timestamp: new Date(NOW - 200 * DAY_MS + index * 20 * DAY_MS + 17).toISOString(),
  amount: 10,
});

const jsonLines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

test('history becomes features, statistics and training sets; a set is made again, the same', async () => {
  writeFileSync(
    join(folder, 'transactions.jsonl'),
    jsonLines(Array.from({ length: 150 }, (_, index) => transaction(index))),
  );
  const filled = await headwater('features', 'backfill', '--in', 'transactions.jsonl', '--view', 'fraud@1');
  expect(filled).toMatchObject({
    code: 0,
    last: { events: 150, rows_of_events: 150, violations: 0, dead_lettered: 0 },
  });

  const stats = await headwater(
    'features',
    'stats',
    '--view',
    'fraud@1',
    '--feature',
    'amount',
    '--json',
    '--limit',
    '100',
  );
  const windows = JSON.parse(stats.lines.join('\n')) as { rows: number }[];
  expect(windows.reduce((sum, { rows }) => sum + rows, 0)).toBe(150);

  const shown = await headwater('features', 'show', 'fraud@1', '--stored');
  const { owner, tags, state } = JSON.parse(shown.lines.join('\n'));
  expect({ owner, tags, state }).toMatchObject({
    ...{ owner: 'risk', tags: [] },
    state: { newestRow: expect.stringMatching(/^20/), quality: { amount: { nullShare: 0 } } },
  });
  expect(state.ageMs).toBeGreaterThan(0);
  const { code, lines } = await headwater('features', 'list', '--stored');
  expect(code).toBe(0);
  expect(lines).toContainEqual(expect.stringMatching(/^ {2}owner risk; newest row 20/));
  expect(lines).toContainEqual(expect.stringMatching(/^ {2}amount +double .* \(0 % missing\)$/));
  expect((await headwater('features', 'list', '--tag', 'nothing')).lines).toEqual(['']);

  const labels = Array.from({ length: 60 }, (_, index) => {
    const { account_id: key, timestamp } = transaction(index * 2);
    return `l${index},${key},${timestamp},${index % 2},${index * 10},cash\n`;
  });
  writeFileSync(
    join(folder, 'labels.csv'),
    `label_id,entity_key,event_time,label,payment_amount,payment_category\n${labels.join('')}`,
  );
  const cut = transaction(80).timestamp;
  const set = ['--service', 'payment_authorisation@1', '--labels-file', 'labels.csv', '--format', 'parquet'];
  const made = await headwater('training-sets', 'create', ...set, '--split-at', cut, '--out', 'set');
  expect(made).toMatchObject({
    code: 0,
    last: {
      service: 'payment_authorisation@1',
      rows: 60,
      positives: 30,
      files: [
        { name: 'train.parquet', rows: 40, positives: 20 },
        { name: 'test.parquet', rows: 20, positives: 10 },
      ],
    },
  });
  const bytes = readFileSync(join(folder, 'set', 'test.parquet'));
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
  const [row] = (await parquetReadObjects({ file })) as Record<string, unknown>[];
  const seen = Array.from({ length: 81 }, (_, index) => transaction(index)).filter(
    ({ account_id: key }) => key === 'a0',
  );
  const lately = seen.filter(({ timestamp }) => Date.parse(timestamp) > Date.parse(cut) - DAY_MS);
  expect(row).toMatchObject({
    label_id: 'l40',
    entity_key: 'account:a0',
    // A long is an integer of 64 bits.
    count_24h: BigInt(lately.length),
    payment_is_cash_like: true,
    payment_to_max: 400 / Math.max(...seen.map(({ amount }) => amount)),
  });
  expect(row?.sum_amount_24h).toBeCloseTo(
    lately.reduce((sum, { amount }) => sum + amount, 0),
    6,
  );

  expect(await headwater('training-sets', 'create', '--like', 'set', '--out', 'again')).toMatchObject({
    code: 0,
    last: { same_as_before: true },
  });
  const late = {
    ...transaction(3),
    event_id: 'late',
    timestamp: new Date(Date.parse(transaction(3).timestamp) + 5_000).toISOString(),
  };
  writeFileSync(join(folder, 'late.jsonl'), jsonLines([late]));
  await headwater('features', 'backfill', '--in', '*.jsonl', '--view', 'fraud@1');
  const changed = await headwater('training-sets', 'create', '--like', 'set', '--out', 'changed');
  expect(changed).toMatchObject({
    code: 1,
    last: { same_as_before: false },
    stderr: expect.stringMatching(/have changed since/),
  });

  const query =
    "SELECT entity_key, event_time + interval '1 second' AS event_time, 1 AS label FROM feature_rows WHERE view = 'fraud' AND entity_key = 'account:a1'";
  const queried = await headwater(
    'training-sets',
    'create',
    '--service',
    'fraud@1',
    '--labels-query',
    query,
    '--out',
    'queried',
  );
  expect(queried).toMatchObject({ code: 0, last: { files: [{ name: 'data.csv' }] } });
}, 120_000);

test('a view in batch is computed from where its source says that its past lies', async () => {
  mkdirSync(join(folder, 'history', 'user_events'), { recursive: true });
  const history = join(folder, 'history', 'user_events', '2026.jsonl');
  writeFileSync(history, jsonLines(Array.from({ length: 10 }, (_, index) => purchase(index))));
  expect(await headwater('features', 'materialize')).toMatchObject({
    code: 0,
    last: { events: 10, rows_of_events: 10, late: 0 },
  });
  const out = ['training-sets', 'create', '--service', 'customer_value@1', '--out', 'values'];
  writeFileSync(join(folder, 'now.csv'), `entity_key,event_time,label\nu0,${new Date(NOW).toISOString()},1\n`);
  expect(await headwater(...out, '--labels-file', 'now.csv')).toMatchObject({ code: 0 });
  const [header = '', row = ''] = readFileSync(join(folder, 'values', 'data.csv'), 'utf8').split('\n');
  const cells = Object.fromEntries(header.split(',').map((name, at) => [name, row.split(',')[at]]));
  // u0 bought 200, 140, 80 and 20 days ago.
  expect(cells).toMatchObject({ frequency_90d: '2', frequency_365d: '4', monetary_365d: '40' });
  expect(Number(cells.recency_days)).toBeCloseTo(20, 3);
}, 60_000);

test('an id of two entities is erased by its key: the other one stays', async () => {
  mkdirSync(join(folder, 'both'), { recursive: true });
  const both = [transaction(0), purchase(8)].map((event, index) => ({
    ...{ ...event, event_id: `both${index}`, user_id: 'x9', timestamp: transaction(index).timestamp },
    ...('account_id' in event ? { account_id: 'x9' } : {}),
  }));
  writeFileSync(join(folder, 'both', 'events.jsonl'), jsonLines(both));
  const views = ['--view', 'fraud@1', '--view', 'user_activity@1'];
  expect(await headwater('features', 'backfill', '--in', 'both/*.jsonl', ...views)).toMatchObject({ code: 0 });
  expect(await headwater('entities', 'erase', 'x9', '--dry-run')).toMatchObject({
    stderr: expect.stringMatching(/"x9" is an id of several entities: erase user:x9 or account:x9/),
  });
  const erased = await headwater('entities', 'erase', 'user:x9', '--yes');
  expect(erased.last).toMatchObject({ entity: 'user:x9', erased: true });
  for (const place of ['online store', 'offline store']) expect(erased.last[place]).toBeGreaterThan(0);
  // Now there is one x9 only.
  expect((await headwater('entities', 'erase', 'x9', '--dry-run')).last).toMatchObject({
    entity: 'account:x9',
    erased: false,
  });
  expect((await headwater('entities', 'erase', 'x9', '--entity', 'user', '--dry-run')).last).toMatchObject({
    ...{ 'online store': 0, 'offline store': 0 },
  });
  expect((await headwater('entities', 'erase', 'x9', '--entity', 'shop', '--dry-run')).stderr).toMatch(
    /no entity "shop"; there is/,
  );
}, 120_000);

test('too many broken rules fail the command, and what is wrong is said', async () => {
  const update = (index: number) => ({
    event_id: `c${index}`,
    event_type: 'credit_update',
    timestamp: new Date(NOW - DAY_MS + index * 1_000).toISOString(),
    credit_line_id: `l${index}`,
    kind: 'draw',
    balance: index < 3 ? 50_000 : 500,
    credit_limit: 1_000,
    days_past_due: 0,
  });
  writeFileSync(join(folder, 'credit.ndjson'), jsonLines(Array.from({ length: 100 }, (_, index) => update(index))));
  const command = ['features', 'backfill', '--in', 'credit.ndjson', '--view', 'credit@1', '--most-violations'];
  // Those are over the limit as well, which only warns.
  const failed = await headwater(...command, '2');
  expect(failed).toMatchObject({ code: 1, last: { events: 100, violations: 6, dead_lettered: 3 } });
  expect(failed.stderr).toMatch(/6 broken rules in 100 events are more than 2 %/);
  expect(await headwater(...command, '6')).toMatchObject({ code: 0 });
}, 60_000);

test.each([
  [['training-sets', 'create', '--out', 'x'], /say --service/],
  [['training-sets', 'create', '--service', 'fraud@1', '--out', 'x'], /say where the labels are/],
  [
    ['training-sets', 'create', '--service', 'frued@1', '--labels', 'l', '--out', 'x'],
    /no feature service "frued@1"; there is/,
  ],
  [
    ['training-sets', 'create', '--service', 'fraud@1', '--labels-file', 'bad.csv', '--out', 'x'],
    /bad\.csv, row 2: label must be a number or a boolean, not "maybe"/,
  ],
  [
    ['training-sets', 'create', '--service', 'payment_authorisation@1', '--labels-file', 'few.csv', '--out', 'x'],
    /payment_amount is required/,
  ],
  [
    ['training-sets', 'create', '--service', 'fraud@1', '--labels', 'nobody', '--out', 'x'],
    /there are no labels of source "nobody"/,
  ],
  [['features', 'backfill', '--view', 'fraud@1'], /no event was found in the histories of the sources: .*--in/],
  [['features', 'backfill', '--view', 'frued@1'], /no feature view "frued@1"/],
])(
  '%j says what to do',
  async (args, reason) => {
    writeFileSync(
      join(folder, 'bad.csv'),
      'entity_key,event_time,label\na,2026-01-01T00:00:00Z,1\na,2026-01-01T00:00:00Z,maybe\n',
    );
    writeFileSync(join(folder, 'few.csv'), 'entity_key,event_time,label\na,2026-01-01T00:00:00Z,1\n');
    const { code, stderr } = await headwater(...args);
    expect(stderr).toMatch(reason);
    expect(code).not.toBe(0);
  },
  30_000,
);
