import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { DAY_MS } from 'headwater/features';
import { bootstrapInterval, PlatformProcess, quantile } from 'headwater/testing';
import { INTERVAL } from '../features/forecast_quality.ts';
import { conformalHalfWidth, directionalAccuracy, errorOf, errorRatio, type Judged } from '../forecast_judgement.ts';
import type { Forecast } from '../forecast_route.ts';

// Daily bars of five symbols → features → LSTM and boosted trees beside the naive forecast → intervals; `npm run case`.

const TRIALS = 3;
const REQUESTS = 200;
const MODELS = ['naive', 'lstm', 'trees'] as const;
/** Trading days of a symbol that judge, and those before them that set the intervals. */
const TEST_DAYS = 250;
const CALIBRATION_DAYS = 250;
const TRAINING_DAYS = 1_000;

interface Bar {
  readonly event_id: string;
  readonly timestamp: string;
  readonly symbol: string;
  readonly close: number;
}

/** A forecast as batch-predict writes it: of a row of a training set. */
interface Predicted {
  readonly entity_key: string;
  readonly event_time: string;
  readonly label: number;
  readonly prediction: number;
}

const lines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
const parsed = <T>(text: string): T[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T);
const keyOf = (symbol: string, at: string): string => `${symbol} ${Date.parse(at)}`;

test('the next close is forecast', { timeout: 1_200_000 }, async () => {
  const startedMs = Date.now();
  const folder = await mkdtemp(join(tmpdir(), 'market-'));
  const data = join(folder, 'data');
  const run = (...args: string[]): Promise<string> => PlatformProcess.command(data, args);

  // Real bars, of 2000 to 2013; moved by full weeks, so that the newest is of now and the online store takes it.
  await run('datasets', 'fetch', 'daily_prices', '--out', join(folder, 'prices'));
  const all = parsed<Bar>(await readFile(join(folder, 'prices/events.jsonl'), 'utf8'));
  const newestMs = Date.parse(all.at(-1)?.timestamp as string);
  const shiftMs = Math.floor((startedMs - newestMs) / (7 * DAY_MS)) * 7 * DAY_MS;
  const bySymbol = new Map<string, Bar[]>();
  for (const bar of all) {
    const moved = { ...bar, timestamp: new Date(Date.parse(bar.timestamp) + shiftMs).toISOString() };
    bySymbol.set(bar.symbol, [...(bySymbol.get(bar.symbol) ?? []), moved]);
  }
  for (const [symbol, bars] of bySymbol)
    bySymbol.set(symbol, bars.slice(-TRAINING_DAYS - CALIBRATION_DAYS - TEST_DAYS));
  const bars = [...bySymbol.values()].flat().sort((a, b) => (a.timestamp < b.timestamp ? -1 : 1));
  const next = new Map(
    [...bySymbol].flatMap(([symbol, of]) =>
      of.slice(0, -1).map((bar, at) => [keyOf(symbol, bar.timestamp), of[at + 1] as Bar] as const),
    ),
  );
  const closeOf = new Map(bars.map(({ symbol, timestamp, close }) => [keyOf(symbol, timestamp), close]));
  const calendar = [...new Set(bars.map(({ timestamp }) => timestamp))].sort();
  const testFrom = calendar.at(-TEST_DAYS) as string;
  const calibrationFrom = calendar.at(-TEST_DAYS - CALIBRATION_DAYS) as string;

  const labels = (of: (bar: Bar, after: Bar) => number): string =>
    lines(
      bars.flatMap((bar) => {
        const after = next.get(keyOf(bar.symbol, bar.timestamp));
        return after === undefined
          ? []
          : [{ symbol: bar.symbol, event_time: bar.timestamp, label: of(bar, after), label_id: bar.event_id }];
      }),
    );
  const files = {
    bars: join(folder, 'bars.jsonl'),
    price: join(folder, 'next_close.jsonl'),
    change: join(folder, 'next_return.jsonl'),
  };
  await writeFile(files.bars, lines(bars));
  await writeFile(
    files.price,
    labels((_, after) => after.close),
  );
  await writeFile(
    files.change,
    labels((bar, after) => after.close / bar.close - 1),
  );
  for (const view of ['price_history@1', 'market@1'])
    await run('features', 'backfill', '--view', view, '--in', files.bars);

  // Trained on what was before the days that set the intervals.
  const until = ['--to', calibrationFrom, '--register'];
  const trained = await run(
    'models',
    'train',
    'price_forecaster',
    '--labels-file',
    files.price,
    '--search',
    `${TRIALS}`,
    ...until,
  );
  console.log(trained.split('\n').find((line) => line.startsWith('judged on')) ?? '');
  await run('models', 'train', 'next_return', '--labels-file', files.change, ...until);
  for (const model of ['price_forecaster', 'next_return']) await run('models', 'promote', model, '1', '--force');

  // Every day since, forecast in a batch.
  const batch = async (model: string, service: string, labelsFile: string): Promise<readonly Predicted[]> => {
    const [set, out] = [join(folder, `${model}-set`), join(folder, `${model}-out`)];
    const rows = ['--labels-file', labelsFile, '--service', service, '--from', calibrationFrom];
    await run('training-sets', 'create', ...rows, '--out', set);
    await run('predictions', 'batch', model, '--in', join(set, 'data.csv'), '--out', out, '--format', 'jsonl');
    const [file = ''] = (await readdir(out)).filter((name) => name.endsWith('.jsonl'));
    return parsed<Predicted>(await readFile(join(out, file), 'utf8'));
  };
  const returns = new Map(
    (await batch('next_return', 'market@1', files.change)).map((row) => [
      keyOf(row.entity_key.replace('symbol:', ''), row.event_time),
      row.prediction,
    ]),
  );
  const judged = (await batch('price_forecaster', 'price_forecast@1', files.price)).map((row): Judged => {
    const symbol = row.entity_key.replace('symbol:', '');
    const previous = closeOf.get(keyOf(symbol, row.event_time)) as number;
    const trees = previous * (1 + (returns.get(keyOf(symbol, row.event_time)) as number));
    const forecasts = { naive: previous, lstm: Number(row.prediction), trees };
    return { symbol, at: row.event_time, previous, actual: Number(row.label), forecasts };
  });
  const isTest = ({ at }: Judged): boolean => Date.parse(at) >= Date.parse(testFrom);
  const tested = judged.filter(isTest);
  const calibrated = judged.filter((each) => !isTest(each));
  assert.ok(tested.length > 4 * TEST_DAYS, `${tested.length} forecasts judge`);

  // Drawn anew by weeks: what moves all symbols of a day is one observation.
  const weeks = [...new Set(tested.map(({ at }) => Math.floor(Date.parse(at) / (7 * DAY_MS))))].map((week) =>
    tested.filter(({ at }) => Math.floor(Date.parse(at) / (7 * DAY_MS)) === week),
  );
  const ratio = (model: string) => bootstrapInterval(weeks, (drawn) => errorRatio(drawn.flat(), model, 'naive'));
  const table = MODELS.map((model) => {
    const { estimate, low, high } = ratio(model);
    const symbols = [...bySymbol.keys()].map((symbol) => {
      const of = (rows: readonly Judged[]) => rows.filter((each) => each.symbol === symbol);
      const width = conformalHalfWidth(
        of(calibrated).map((each) => errorOf(each, model)),
        INTERVAL,
      );
      return of(tested).filter((each) => Math.abs(errorOf(each, model)) <= width).length;
    });
    return {
      model,
      'RMSE to naive': estimate.toFixed(4),
      '95 %': `${low.toFixed(4)} to ${high.toFixed(4)}`,
      'direction right': model === 'naive' ? '' : directionalAccuracy(tested, model).toFixed(3),
      [`coverage of ${100 * INTERVAL} % intervals`]: (
        symbols.reduce((sum, each) => sum + each, 0) / tested.length
      ).toFixed(3),
      'beats naive': model === 'naive' ? '' : high < 1 ? 'yes' : 'no',
    };
  });
  console.table(table);

  // What is known of forecasts becomes features: forecast against actual, and the intervals of what is answered.
  const outcomes = join(folder, 'outcomes.jsonl');
  const known = judged.map(({ symbol, at, previous, actual, forecasts }) => ({
    ...{ event_id: `outcome-${symbol}-${at}`, event_type: 'forecast_outcome', symbol, previous, actual },
    ...{ timestamp: next.get(keyOf(symbol, at))?.timestamp as string, forecast: forecasts.lstm as number },
  }));
  await writeFile(outcomes, lines([...known].sort((a, b) => (a.timestamp < b.timestamp ? -1 : 1))));
  await run('features', 'backfill', '--view', 'forecast_quality@1', '--in', outcomes);

  const platform = await PlatformProcess.start(data, { MARKET_DATA: folder });
  const latencies: number[] = [];
  const answers = new Map<string, Forecast>();
  try {
    const symbols = [...bySymbol.keys()];
    for (let each = 0; each < REQUESTS; each += 1) {
      const symbol = symbols[each % symbols.length] as string;
      const sentMs = performance.now();
      const answer = await fetch(`${platform.urls.serving}/forecast/${symbol}`, { method: 'POST' });
      assert.ok(answer.ok, await answer.clone().text());
      answers.set(symbol, (await answer.json()) as Forecast);
      latencies.push(performance.now() - sentMs);
    }
    assert.equal((await fetch(`${platform.urls.serving}/forecast/NONE`, { method: 'POST' })).status, 404);
    // The weekly report, of the history that is known.
    const report = (await PlatformProcess.runWorkflow(data, 'report_forecasts', {}, { MARKET_DATA: folder })) as {
      readonly path: string;
      readonly closes: number;
    };
    const page = await readFile(report.path, 'utf8');
    assert.equal(page.match(/<svg/g)?.length, symbols.length);
    // The notebook of the analysis, executed against this platform.
    const analysis = join(folder, 'analysis.html');
    const { features, serving } = platform.urls;
    const notebook = ['notebooks', 'run', 'notebooks/prediction_analysis.ipynb', '--out', analysis];
    await PlatformProcess.command(data, notebook, {
      ...{ FEATURES_URL: features, SERVING_URL: serving, SYMBOLS: symbols.join(',') },
    });
    assert.match(
      await readFile(analysis, 'utf8'),
      /better than the naive forecast: [\s\S]*data:image\/png|data:image\/png[\s\S]*better than the naive forecast: /,
    );
    console.log(`report of ${report.closes} closes with ${symbols.length} charts`);
  } finally {
    await platform.terminate();
  }
  for (const [symbol, { forecast, low, high, previous }] of answers) {
    assert.ok(low !== null && high !== null && low < forecast && forecast < high, symbol);
    assert.equal(previous, bySymbol.get(symbol)?.at(-1)?.close);
  }
  console.table([...answers.values()]);

  const coverage = Number(table[1]?.[`coverage of ${100 * INTERVAL} % intervals`]);
  assert.ok(Math.abs(coverage - INTERVAL) < 0.06, `the intervals contain ${coverage} of the closes`);
  const result = {
    ...{ case: 'market', events: bars.length, features: 'price_forecast@1, market@1', model: 'LSTM' },
    ...{ metric: 'RMSE to naive (below 1 is better)', ...ratio('lstm') },
    baseline: { name: 'boosted trees', ...ratio('trees') },
    ...{ p95Ms: quantile(latencies, 0.95), seconds: (Date.now() - startedMs) / 1_000 },
  };
  console.log(`RESULT ${JSON.stringify(result)}`);
  await rm(folder, { recursive: true, force: true });
});
