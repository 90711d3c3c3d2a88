import { type ReportPage, readHistory, type ScheduledInput, task, workflow, writeReport } from 'headwater/workflows';
import { forecastQuality } from '../features/forecast_quality.ts';

/** A forecast beside what the close came to. */
export interface KnownForecast {
  readonly symbol: string;
  /** RFC 3339, of the close. */
  readonly at: string;
  readonly previous: number;
  readonly forecast: number;
  readonly actual: number;
  /** Size of the logarithm of actual over forecast that the interval allows; null while there are few outcomes. */
  readonly halfWidth: number | null;
}

/** Trading days that a chart shows. */
const CHARTED = 60;
const DAY_MS = 86_400_000;

/** Returns the report of forecasts: a chart a symbol, with actual closes, forecasts with their intervals and the naive forecast, and a table of errors. */
export function forecastReport(known: readonly KnownForecast[], until: string): ReportPage {
  const symbols = [...new Set(known.map(({ symbol }) => symbol))].sort();
  const of = (symbol: string): readonly KnownForecast[] =>
    known.filter((each) => each.symbol === symbol).sort((a, b) => (a.at < b.at ? -1 : 1));
  const dayOf = ({ at }: KnownForecast): number => (Date.parse(at) - Date.parse(until)) / DAY_MS;
  const errors = (rows: readonly KnownForecast[], forecast: (each: KnownForecast) => number): number =>
    Math.sqrt(rows.reduce((sum, each) => sum + Math.log(each.actual / forecast(each)) ** 2, 0) / rows.length);
  return {
    title: 'Forecasts of closes',
    text: `${known.length} closes until ${until.slice(0, 10)}. The naive forecast is the close before; below 1, forecasts are better.`,
    before: [
      {
        title: 'Errors',
        columns: ['symbol', 'closes', 'RMSE, logarithm', 'RMSE of naive', 'to naive', 'within the interval'],
        rows: symbols.map((symbol) => {
          const rows = of(symbol);
          const [own, naive] = [errors(rows, (each) => each.forecast), errors(rows, (each) => each.previous)];
          const withInterval = rows.filter(({ halfWidth }) => halfWidth !== null);
          const inside = withInterval.filter(
            ({ actual, forecast, halfWidth }) => Math.abs(Math.log(actual / forecast)) <= (halfWidth ?? 0),
          );
          const share = withInterval.length === 0 ? '' : inside.length / withInterval.length;
          return [symbol, rows.length, own, naive, own / naive, share];
        }),
      },
    ],
    charts: symbols.map((symbol) => {
      const rows = of(symbol).slice(-CHARTED);
      const line = (name: string, value: (each: KnownForecast) => number) => ({
        name,
        points: rows.map((each) => [dayOf(each), value(each)] as const),
      });
      return {
        ...{ title: symbol, x: 'days before the end', y: 'close', kind: 'line' as const },
        series: [
          line('actual', ({ actual }) => actual),
          line('forecast', ({ forecast }) => forecast),
          line('naive', ({ previous }) => previous),
        ],
        band: rows.flatMap((each) =>
          each.halfWidth === null
            ? []
            : [
                [
                  dayOf(each),
                  each.forecast / Math.exp(each.halfWidth),
                  each.forecast * Math.exp(each.halfWidth),
                ] as const,
              ],
        ),
      };
    }),
    after: [],
  };
}

/** Writes the report of the last quarter below the variable `reports`. */
export const reportForecasts = task(
  'report-forecasts',
  async ({ schedule }: ScheduledInput, context): Promise<{ readonly path: string; readonly closes: number }> => {
    const to = schedule?.time ?? new Date().toISOString();
    const known: KnownForecast[] = [];
    const halfWidths = new Map<string, number | null>();
    await readHistory(forecastQuality, { from: new Date(Date.parse(to) - 120 * DAY_MS).toISOString(), to }, (rows) => {
      for (const { entity, at, values } of rows) {
        const { previous, forecast, actual, outcome_ms: of } = values;
        // A row is also written when outcomes leave a window.
        if (of !== Date.parse(at) || previous === null || forecast === null || actual === null) continue;
        // The interval of a forecast is that of the outcomes before it.
        known.push({ symbol: entity, at, previous, forecast, actual, halfWidth: halfWidths.get(entity) ?? null });
        halfWidths.set(entity, values.half_width_365d);
      }
    });
    const folder = `${context.variable('reports')}/date=${to.slice(0, 10)}`;
    return { path: await writeReport(folder, forecastReport(known, to)), closes: known.length };
  },
  { process: true },
);

/** Each Monday: forecasts against what came. */
export const reportWeekly = workflow<ScheduledInput>('report_forecasts', (w) => w.task('Report', reportForecasts));
