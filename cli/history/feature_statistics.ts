import type { WindowStatistics } from '#feature_store/aggregation/statistics';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { withOffline } from '../parts/with_offline.ts';
import { loadProject } from '../project/project.ts';
import { viewOf } from '../project/view_of.ts';
import { timeOption } from '../terminal/options.ts';
import { printJsonArray } from '../terminal/print.ts';

export interface StatisticsOptions {
  readonly view?: string;
  readonly feature?: string;
  readonly from?: string;
  readonly to?: string;
  readonly limit: number;
  readonly json: boolean;
}

/** `headwater features stats`. */
export async function showStatistics({ view, feature, from, to, limit, json }: StatisticsOptions): Promise<void> {
  const project = await loadProject();
  const filter = {
    view: view === undefined ? undefined : viewOf(project.catalog, view),
    feature,
    fromMs: timeOption('--from', from),
    toMs: timeOption('--to', to),
    limit,
  };
  await withOffline(project, async (offline) => {
    const found = await offline.statistics.list(filter);
    if (json) {
      printJsonArray(found.map(asJson));
      return;
    }
    process.stdout.write(`${HEADER}\n`);
    for (const { windowStartMs, statistics, ...of } of found) {
      const start = new Date(windowStartMs).toISOString();
      const { rows, nulls, mean, stddev, quantiles, top } = statistics;
      const median = quantiles[Math.floor(quantiles.length / 2)];
      const cells = [rows, nulls, mean, stddev, median].map((cell) => number(cell).padStart(10));
      const frequent = top.slice(0, 3).map(([value, share]) => `${value} ${Math.round(share * 100)} %`);
      const name = `${viewId(of)} ${of.feature}`.padEnd(44);
      process.stdout.write(`${start.slice(0, 16)} ${name} ${cells.join(' ')}  ${frequent.join(', ')}\n`);
    }
    if (found.length === 0)
      process.stderr.write('there are none yet: statistics of a window are written a minute after its first row\n');
  });
}

const asJson = ({ windowStartMs, windowMs, feature, statistics, ...of }: WindowStatistics) => ({
  ...{ view: viewId(of), feature, window_start: new Date(windowStartMs).toISOString(), window_ms: windowMs },
  ...statistics,
});

const HEADER = `${'window'.padEnd(16)} ${'feature'.padEnd(44)} ${['rows', 'nulls', 'mean', 'stddev', 'median'].map((name) => name.padStart(10)).join(' ')}  most frequent`;

const number = (value: number | null | undefined): string =>
  value === null || value === undefined ? '-' : String(Number(value.toPrecision(5)));
