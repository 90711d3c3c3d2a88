import { createFileSystems } from 'headwater/connectors';
import { type TaskContext, TaskError, task, type VariableValue, workflow } from 'headwater/workflows';
import type { Forecast } from '../forecast_route.ts';
import { type Bar, barsPath, type Day } from './collect.ts';

/** Longest time between two trading days, days: an exchange that is closed for a week. */
const LONGEST_PAUSE_DAYS = 10;
const DAY_MS = 86_400_000;

const forecastsPath = (predictions: VariableValue, date: string): string =>
  `${predictions}/model=price_forecaster/date=${date}/forecasts.jsonl`;

/** Returns the rows of a file of JSON lines; undefined where there is no file. */
async function readLines<T>(path: string): Promise<readonly T[] | undefined> {
  const files = createFileSystems()(path);
  const [found] = await files.glob(path);
  if (found === undefined) return undefined;
  const file = await files.open(found);
  try {
    const text = (await file.read(0, await file.size())).toString('utf8');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as T);
  } finally {
    await file.close();
  }
}

/** Posts JSON to a connection, with its `key` where it has one. @throws {@link TaskError} `Forecast.Unavailable` */
async function post<T>(context: TaskContext, connection: string, path: string, body?: unknown): Promise<T> {
  const { url, key } = context.connection(connection);
  const answer = await fetch(`${url}${path}`, {
    ...{ method: 'POST', signal: context.signal },
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new TaskError('Forecast.Unavailable', `${connection}${path} answers ${answer.status}`);
  return (await answer.json()) as T;
}

/** Returns the newest forecasts of before a date, with theirs; undefined where there are none of the last days. */
async function newestForecasts(context: TaskContext, date: string) {
  for (let back = 1; back <= LONGEST_PAUSE_DAYS; back += 1) {
    const of = new Date(Date.parse(date) - back * DAY_MS).toISOString().slice(0, 10);
    const forecasts = await readLines<Forecast>(forecastsPath(context.variable('predictions'), of));
    if (forecasts !== undefined) return forecasts;
  }
  return undefined;
}

/** Sends what the forecasts of the trading day before came to, by the day's bars: events `forecast_outcome`, with the same ids when it is repeated. */
export const trackOutcomes = task('track-outcomes', async (day: Day, context): Promise<Day> => {
  const { date, time } = day.schedule;
  const forecasts = (await newestForecasts(context, date)) ?? [];
  const bars = (await readLines<Bar>(barsPath(context.variable('raw'), date))) ?? [];
  const closes = new Map(bars.map(({ symbol, close }) => [symbol, close]));
  const outcomes = forecasts.flatMap(({ symbol, forecast, previous }) => {
    const actual = closes.get(symbol);
    if (actual === undefined) return [];
    const id = `outcome-${symbol}-${date}`;
    return [{ event_id: id, event_type: 'forecast_outcome', timestamp: time, symbol, previous, forecast, actual }];
  });
  if (outcomes.length > 0) await post(context, 'gateway', '/ingest/batch', outcomes);
  context.log(`${outcomes.length} of ${forecasts.length} forecasts have a close`);
  return day;
});

export interface DayOfForecasts {
  readonly date: string;
  readonly forecasts: readonly Forecast[];
}

/** Forecasts the next close of each symbol. */
export const forecastCloses = task(
  'forecast-closes',
  async ({ symbols, schedule: { date } }: Day, context): Promise<DayOfForecasts> => ({
    date,
    forecasts: await Promise.all(
      symbols.map((symbol) => post<Forecast>(context, 'serving', `/forecast/${encodeURIComponent(symbol)}`)),
    ),
  }),
);

/** Writes the forecasts below the variable `predictions`, by model and date. */
export const storeForecasts = task('store-forecasts', async ({ date, forecasts }: DayOfForecasts, context) => {
  const path = forecastsPath(context.variable('predictions'), date);
  const lines = forecasts.map((each) => `${JSON.stringify(each)}\n`).join('');
  await createFileSystems()(path).write(path, Buffer.from(lines));
  context.writes('predictions/price_forecaster', date);
  return { path, forecasts: forecasts.length };
});

const AGAIN = [{ ErrorEquals: ['States.TaskFailed'], IntervalSeconds: 5, BackoffRate: 2, MaxAttempts: 4 }];

/** Each trading day, after its bars were collected: what the forecasts of the day before came to, and the next ones. */
export const forecastDaily = workflow<Day>(
  'forecast',
  (w) =>
    w
      .task('Track', trackOutcomes, { retry: AGAIN })
      .task('Forecast', forecastCloses, { retry: AGAIN })
      .task('Store', storeForecasts),
  { maxRuns: 1 },
);
