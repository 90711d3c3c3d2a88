import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { averagePrice, type Bar, collect, problemsOf } from '#examples/market/workflows/collect';
import type { RunRecord } from '#kernel/workflow_runs';
import { silentLogger } from '#monitoring/log';
import { WorkflowCatalog } from '#workflows/catalog/workflow_catalog';
import { runBackfill } from '#workflows/schedules/backfill';
import { TaskRegistry } from '#workflows/tasks/task_registry';
import { WorkflowWorker } from '#workflows/worker/workflow_worker';
import { ended, openPglite } from '../../support/platforms/workflow_platform.ts';

// Prices of a year, a run for each trading day, from a source that fails now and then.

const SYMBOLS = ['AMZN', 'GOOG'];
const barOf = (symbol: string, date: string): Bar => {
  const open = 100 + Number(date.slice(5, 7)) + Number(date.slice(8)) / 100 + (symbol === 'AMZN' ? 50 : 0);
  return { symbol, date, open, high: open + 2, low: open - 1, close: open + 1, volume: 1_000 };
};

let folder: string;
let raw: string;
let source: Server;
let worker: WorkflowWorker;
let close: () => Promise<void>;
const asked = new Map<string, number>();
/** Days for which the source answers nothing but errors, or what cannot be. */
const away = new Set(['2024-02-05', '2024-02-06']);
const wrong = new Map<string, (bar: Bar) => unknown>();
const catalog = new WorkflowCatalog([collect], [], {
  prices: { workflow: 'collect', calendar: 'XNYS', at: '30 minutes after close', input: { symbols: SYMBOLS } },
});

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'collection-'));
  raw = join(folder, 'raw');
  mkdirSync(join(folder, 'files'));
  source = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://source');
    const [symbol, date] = [url.pathname.split('/').at(-1) as string, url.searchParams.get('date') as string];
    const count = (asked.get(`${symbol} ${date}`) ?? 0) + 1;
    asked.set(`${symbol} ${date}`, count);
    // Each tenth day fails the first time.
    const fails = away.has(date) || (date.endsWith('3') && count === 1);
    if (fails) response.writeHead(503).end('busy');
    else response.end(JSON.stringify(wrong.get(date)?.(barOf(symbol, date)) ?? barOf(symbol, date)));
  });
  await new Promise<void>((resolve) => source.listen(0, '127.0.0.1', resolve));
  const database = await openPglite();
  close = database.close;
  const tasks = new TaskRegistry(catalog.tasks.ids.map((id) => catalog.tasks.resolve(id)));
  const url = `http://127.0.0.1:${(source.address() as AddressInfo).port}`;
  worker = new WorkflowWorker(
    {
      ...{ sql: database.sql, log: silentLogger, tasks },
      values: { variables: { raw, prices_files: join(folder, 'files') }, connections: { prices: { url } } },
    },
    { concurrency: 16, leaseMs: 5_000, pollMs: 100, upkeepMs: 200, isOnlyProcess: true },
  );
  await worker.start();
}, 120_000);
afterAll(async () => {
  await worker?.stop();
  await close?.();
  source?.close();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

const backfill = (from: string, to: string) => {
  const schedule = catalog.schedule('prices');
  const newRun = (time: Parameters<typeof catalog.scheduledRun>[1]) =>
    catalog.scheduledRun(schedule, time, 'backfill', 'test');
  return runBackfill({ store: worker.store, newRun }, schedule, { from, to, nowMs: Date.now() });
};
const runsOf = async (ids: readonly string[]): Promise<readonly RunRecord[]> => {
  const runs: RunRecord[] = [];
  for (const id of ids) runs.push(await ended(worker.store, id, 120_000));
  return runs;
};
const fileOf = (date: string): string => {
  const [year, month, day] = date.split('-');
  return join(raw, `prices/year=${year}/month=${month}/day=${day}/bars.jsonl`);
};

test('a year is 252 trading days, each in a folder of its own with avg_price, none twice', async () => {
  writeFileSync(
    join(folder, 'files', '2024-02-05.json'),
    JSON.stringify(SYMBOLS.map((symbol) => barOf(symbol, '2024-02-05'))),
  );
  const { started } = await backfill('2024-01-01', '2024-12-31');
  expect(started).toHaveLength(252);
  expect(await backfill('2024-01-01', '2024-12-31')).toMatchObject({ times: 252, started: [] });
  const runs = await runsOf(started);
  // Of the two days without the source one has a file.
  expect(runs.filter(({ status }) => status !== 'succeeded').map(({ id }) => id.slice(0, 17))).toEqual([
    'prices@2024-02-06',
  ]);
  const days = readdirSync(join(raw, 'prices/year=2024'), { recursive: true, encoding: 'utf8' });
  expect(days.filter((path) => path.endsWith('bars.jsonl'))).toHaveLength(251);
  const lines = readFileSync(fileOf('2024-12-24'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Bar & { avg_price: number });
  expect(lines.map(({ symbol }) => symbol)).toEqual(SYMBOLS);
  expect(lines[0]?.avg_price).toBeCloseTo(162.24 + (2 - 1 + 1) / 4, 9);
  expect(asked.get('AMZN 2024-01-03')).toBe(2);
  expect(asked.get('AMZN 2024-02-05')).toBe(3);
}, 240_000);

test.each([
  ['2025-01-02', 'AMZN of 2025-01-02 is of 1999-01-01', (bar: Bar) => ({ ...bar, date: '1999-01-01' })],
  ['2025-01-06', 'has a high of 1 below its low of', (bar: Bar) => ({ ...bar, high: 1 })],
  ['2025-01-07', 'has a negative volume, -5', (bar: Bar) => ({ ...bar, volume: -5 })],
  ['2025-01-08', 'AMZN of 2025-01-08 is there twice', (bar: Bar) => ({ ...bar, symbol: 'AMZN' })],
  ['2025-01-10', 'has no close', ({ close: _, ...bar }: Bar) => bar],
])(
  'a day that cannot be is refused and not stored: %s, %s',
  async (date, cause, change) => {
    wrong.set(date, change);
    const [run] = await runsOf((await backfill(date, date)).started);
    expect(run).toMatchObject({ status: 'failed', error: 'Prices.Invalid' });
    expect(run?.cause).toContain(cause);
    expect(() => readFileSync(fileOf(date))).toThrow(/ENOENT/);
  },
  60_000,
);

test('a day without bars is a problem; the mean is that of four prices', () => {
  expect(problemsOf({ date: '2024-12-24', bars: [] })).toEqual(['2024-12-24 has no bars']);
  expect(averagePrice({ ...barOf('AMZN', '2024-12-24'), open: 1, high: 4, low: 0.5, close: 2 })).toBeCloseTo(1.875, 12);
});
