import { viewId } from '#feature_store/definitions/feature_row';
import { withOffline } from '../parts/with_offline.ts';
import { loadProject } from '../project/project.ts';
import { viewOf } from '../project/view_of.ts';
import { timeOption } from '../terminal/options.ts';

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
    if (!json) process.stdout.write(`${HEADER}\n`);
    for (const { windowStartMs, statistics, ...of } of found) {
      const start = new Date(windowStartMs).toISOString();
      if (json) {
        const { windowMs, feature: name } = of;
        const window = { view: viewId(of), feature: name, window_start: start, window_ms: windowMs };
        process.stdout.write(`${JSON.stringify({ ...window, ...statistics })}\n`);
        continue;
      }
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

const HEADER = `${'window'.padEnd(16)} ${'feature'.padEnd(44)} ${['rows', 'nulls', 'mean', 'stddev', 'median'].map((name) => name.padStart(10)).join(' ')}  most frequent`;

const number = (value: number | null | undefined): string =>
  value === null || value === undefined ? '-' : String(Number(value.toPrecision(5)));
