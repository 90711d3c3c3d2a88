import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FeatureTest, pluginContract, Random } from 'headwater/testing';
import { type TaskContext, writeReport } from 'headwater/workflows';
import { forecastQuality } from '../features/forecast_quality.ts';
import { marketView } from '../features/market.ts';
import { conformalHalfWidth, directionalAccuracy, errorRatio, type Judged } from '../forecast_judgement.ts';
import { forecast } from '../forecast_route.ts';
import { storeBars } from '../workflows/collect.ts';
import { forecastCloses, storeForecasts, trackOutcomes } from '../workflows/forecast.ts';
import { forecastReport, type KnownForecast } from '../workflows/report_weekly.ts';

test('the average price is that of open, high, low and close', () => {
  const features = new FeatureTest([marketView], { now: '2026-01-05T21:00:00Z' });
  features.ingest({
    ...{ event_id: 'e1', event_type: 'daily_bar', timestamp: features.now, symbol: 'AMZN' },
    ...{ open: 100, high: 104, low: 98, close: 102, volume: 1_000 },
  });
  assert.equal(features.row(marketView, { symbol: 'AMZN' })?.avg_price, 101);
});

for (const { name, timeoutMs, run } of pluginContract(forecast, {
  context: () => ({
    score: async () => [{ prediction: 101, modelVersion: 1 } as never],
    vectors: async (_: unknown, entities: readonly string[]) => entities.map(() => ({ close_0: 100 })),
  }),
})) {
  test(`POST /forecast: ${name}`, { timeout: timeoutMs }, run);
}

test('what forecasts came to is a feature: their error beside that of the naive forecast', () => {
  const features = new FeatureTest([forecastQuality], { now: '2026-01-05T21:00:00Z' });
  for (let day = 0; day < 4; day += 1) {
    features.ingest({
      ...{ event_id: `o${day}`, event_type: 'forecast_outcome', timestamp: features.now, symbol: 'AMZN' },
      ...{ previous: 100, forecast: 101, actual: 102 },
    });
    if (day < 3) features.advance('1d');
  }
  const row = features.row(forecastQuality, { symbol: 'AMZN' });
  assert.equal(row?.outcomes_365d, 4);
  assert.ok(Math.abs((row?.error ?? 0) - Math.log(102 / 101)) < 1e-12);
  assert.ok(Math.abs((row?.error_to_naive ?? 0) - Math.log(102 / 101) / Math.log(1.02)) < 1e-9);
  assert.ok(Math.abs((row?.half_width_365d ?? 0) - Math.log(102 / 101)) < 1e-3);
});

test('intervals contain what comes as often as they are to, whatever the errors are like', () => {
  const random = new Random(1);
  const draw = (count: number) => Array.from({ length: count }, () => random.normal() ** 3);
  for (const share of [0.5, 0.8, 0.9]) {
    let contained = 0;
    for (let round = 0; round < 2_000; round += 1) {
      const width = conformalHalfWidth(draw(50), share);
      if (Math.abs(draw(1)[0] as number) <= width) contained += 1;
    }
    assert.ok(Math.abs(contained / 2_000 - share) < 0.035, `${contained / 2_000} of ${share}`);
  }
  assert.equal(conformalHalfWidth([1, 2, 3], 0.9), Number.POSITIVE_INFINITY);
});

test('a model is held against the naive forecast', () => {
  const judged = [100, 104].map(
    (actual): Judged => ({
      ...{ symbol: 'S', at: '2026-01-05T21:00:00Z', previous: 102, actual },
      forecasts: { naive: 102, model: actual < 102 ? 101 : 103 },
    }),
  );
  assert.equal(errorRatio(judged, 'naive', 'naive'), 1);
  assert.ok(Math.abs(errorRatio(judged, 'model', 'naive') - 0.5) < 0.01);
  assert.equal(directionalAccuracy(judged, 'model'), 1);
});

test('a day is forecast, stored, and held against the next close', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'market-'));
  const sent: { readonly path: string; readonly body: string }[] = [];
  const platform = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    sent.push({ path: request.url ?? '', body });
    response.end(JSON.stringify({ symbol: request.url?.split('/').at(-1), forecast: 11, previous: 10 }));
  });
  await new Promise<void>((resolve) => platform.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(platform.address() as AddressInfo).port}`;
  const context = {
    ...{ signal: new AbortController().signal, log: () => {}, writes: () => {} },
    variable: (name: string) => join(folder, name),
    connection: () => ({ url }),
  } as unknown as TaskContext;
  const day = (date: string) => ({ symbols: ['A', 'B'], schedule: { date, time: `${date}T22:30:00.000Z` } });
  try {
    // A Friday, and the Monday after it.
    await trackOutcomes.run(day('2026-01-02'), context);
    assert.equal(sent.length, 0);
    const { path } = await storeForecasts.run(await forecastCloses.run(day('2026-01-02'), context), context);
    assert.equal((await readFile(path, 'utf8')).split('\n').length, 3);
    assert.deepEqual(
      sent
        .splice(0)
        .map((each) => each.path)
        .sort(),
      ['/forecast/A', '/forecast/B'],
    );
    const bar = { symbol: 'A', date: '2026-01-05', open: 1, high: 2, low: 1, close: 12, volume: 1 };
    await storeBars.run({ date: '2026-01-05', bars: [bar] }, context);
    await trackOutcomes.run(day('2026-01-05'), context);
    assert.deepEqual(
      sent.map((each) => [each.path, JSON.parse(each.body)]),
      [
        [
          '/ingest/batch',
          [
            {
              ...{ event_id: 'outcome-A-2026-01-05', event_type: 'forecast_outcome', symbol: 'A' },
              ...{ timestamp: '2026-01-05T22:30:00.000Z', previous: 10, forecast: 11, actual: 12 },
            },
          ],
        ],
      ],
    );
  } finally {
    platform.close();
    await rm(folder, { recursive: true, force: true });
  }
});

test('a report shows forecasts with intervals beside actual closes and the naive forecast', async () => {
  const known = Array.from({ length: 8 }, (_, day): KnownForecast => {
    const at = new Date(Date.parse('2026-01-05T21:00:00Z') + day * 86_400_000).toISOString();
    return {
      symbol: day % 2 === 0 ? 'A' : 'B',
      at,
      previous: 100,
      forecast: 101,
      actual: 102,
      halfWidth: day < 4 ? null : 0.02,
    };
  });
  const page = forecastReport(known, '2026-01-13T00:00:00Z');
  assert.deepEqual(
    page.charts.map(({ title, series, band }) => [title, series.map(({ name }) => name), band?.length]),
    ['A', 'B'].map((symbol) => [symbol, ['actual', 'forecast', 'naive'], 2]),
  );
  assert.equal(page.before[0]?.rows[0]?.[5], 1);
  const folder = await mkdtemp(join(tmpdir(), 'market-report-'));
  try {
    assert.match(await readFile(await writeReport(folder, page), 'utf8'), /<svg[\s\S]*naive/);
    assert.match(await readFile(join(folder, 'report.md'), 'utf8'), /!\[A\]\(chart_1\.svg\)/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('the contract holds on outcomes as they are, and not across a split or when none come', async () => {
  const features = new FeatureTest([forecastQuality], { now: '2026-01-05T21:00:00Z' });
  const outcome = (symbol: string, actual: number) =>
    features.ingest({
      ...{ event_id: `${symbol}-${features.now}`, event_type: 'forecast_outcome', timestamp: features.now, symbol },
      ...{ previous: 100, forecast: 101, actual },
    });
  outcome('AMZN', 102);
  assert.deepEqual(await features.brokenTerms(forecastQuality), []);
  features.advance('1d');
  outcome('AMZN', 5);
  assert.deepEqual(await features.brokenTerms(forecastQuality), ['violations']);
  features.advance('7d');
  assert.ok((await features.brokenTerms(forecastQuality)).includes('freshness'));
});
