import { readFile } from 'node:fs/promises';
import { createFileSystems } from 'headwater/connectors';
import { type Flow, TaskError, task, type VariableValue, workflow } from 'headwater/workflows';

/** A trading day of a symbol, as the source of prices gives it. */
export interface Bar {
  readonly symbol: string;
  /** YYYY-MM-DD */
  readonly date: string;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
}

export interface DayOfPrices {
  readonly date: string;
  readonly bars: readonly Bar[];
}

/** What a run of a schedule gets: `schedule.date` is the trading day. */
export interface Day {
  readonly symbols: readonly string[];
  readonly schedule: { readonly date: string; readonly time: string };
}

/** Reads a day's bars from the connection `prices` (`url`): `GET URL/daily/SYMBOL?date=DATE`. */
export const fetchBars = task(
  'fetch-bars',
  async ({ symbols, schedule: { date } }: Day, context): Promise<DayOfPrices> => {
    const { url } = context.connection('prices');
    const bars = await Promise.all(
      symbols.map(async (symbol) => {
        const answer = await fetch(`${url}/daily/${encodeURIComponent(symbol)}?date=${date}`, {
          signal: context.signal,
        });
        if (!answer.ok)
          throw new TaskError('Prices.Unavailable', `${symbol} of ${date}: the source answers ${answer.status}`);
        return (await answer.json()) as Bar;
      }),
    );
    return { date, bars };
  },
);

/** Reads a day's bars from a file, which another system writes: `DATE.json` in the folder of the variable `prices_files`. */
export const readBars = task('read-bars', async ({ schedule: { date } }: Day, context): Promise<DayOfPrices> => {
  const file = `${context.variable('prices_files')}/${date}.json`;
  context.log(`the source is away: ${file} is read`);
  return { date, bars: JSON.parse(await readFile(file, 'utf8')) as Bar[] };
});

/** Returns what is wrong with a day's bars. */
export function problemsOf({ date, bars }: DayOfPrices): readonly string[] {
  const seen = new Set<string>();
  return [
    ...(bars.length === 0 ? [`${date} has no bars`] : []),
    ...bars.flatMap((bar) => {
      const { symbol, open, high, low, close, volume } = bar;
      const problems: string[] = [];
      if (bar.date !== date) problems.push(`is of ${bar.date}`);
      if (seen.has(symbol)) problems.push('is there twice');
      seen.add(symbol);
      for (const [name, value] of Object.entries({ open, high, low, close, volume })) {
        if (typeof value !== 'number' || !Number.isFinite(value)) problems.push(`has no ${name}`);
        else if (value < 0) problems.push(`has a negative ${name}, ${value}`);
      }
      if (high < low) problems.push(`has a high of ${high} below its low of ${low}`);
      return problems.map((problem) => `${symbol} of ${date} ${problem}`);
    }),
  ];
}

/** Refuses a day with bars that cannot be. */
export const checkBars = task('check-bars', (day: DayOfPrices): DayOfPrices => {
  const problems = problemsOf(day);
  if (problems.length > 0) throw new TaskError('Prices.Invalid', problems.join('; '));
  return day;
});

/** The mean of the day's four prices. */
export const averagePrice = ({ open, high, low, close }: Bar): number => (open + high + low + close) / 4;

/** Where a day's bars are, below the variable `raw`. */
export function barsPath(raw: VariableValue, date: string): string {
  const [year, month, day] = date.split('-');
  return `${raw}/prices/year=${year}/month=${month}/day=${day}/bars.jsonl`;
}

/** Writes the day, with `avg_price`, below the variable `raw` (a folder, or s3://bucket/prefix): the same file when it is repeated. */
export const storeBars = task('store-bars', async ({ date, bars }: DayOfPrices, context) => {
  const path = barsPath(context.variable('raw'), date);
  const lines = bars.map((bar) => `${JSON.stringify({ ...bar, avg_price: averagePrice(bar) })}\n`).join('');
  await createFileSystems()(path).write(path, Buffer.from(lines));
  return { path, bars: bars.length };
});

const checkAndStore = (flow: Flow<DayOfPrices>, suffix: string) =>
  flow.task(`Check${suffix}`, checkBars).task(`Store${suffix}`, storeBars);

/**
 * Collects a trading day's prices. A schedule in headwater.config.ts runs it: `prices: { workflow: 'collect', calendar: 'XNYS', at: '30 minutes after close',
 * input: { symbols: ['AMZN'] } }`; `headwater schedules backfill prices --from 2024-01-01 --to 2024-12-31` collects a year.
 */
export const collect = workflow<Day>(
  'collect',
  (w) =>
    checkAndStore(
      w.task('Fetch', fetchBars, {
        timeoutSeconds: 60,
        retry: [
          { ErrorEquals: ['States.TaskFailed', 'States.Timeout'], IntervalSeconds: 1, BackoffRate: 2, MaxAttempts: 2 },
        ],
        catch: {
          'States.ALL': (failed) => checkAndStore((failed as unknown as Flow<Day>).task('ReadFile', readBars), 'File'),
        },
      }),
      '',
    ),
  { maxRuns: 8 },
);
