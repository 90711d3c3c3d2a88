import { createFileSystems } from '#connectors/files/file_systems';
import type { DriftReport } from '#monitoring/drift/drift_report';
import type { Chart, Table } from '#registry/evaluation/evaluation';
import { reportPage } from '#registry/evaluation/report';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { withOffline } from '../parts/with_offline.ts';
import { loadProject } from '../project/project.ts';
import { CommandFailedError } from '../terminal/command_failed_error.ts';
import { timeOption } from '../terminal/options.ts';
import { print, printJsonArray } from '../terminal/print.ts';

export interface MonitorReportOptions {
  readonly modelVersion?: number;
  readonly since?: string;
  readonly out?: string;
  readonly json: boolean;
}

/** Windows that are shown: a month of hours. */
const WINDOWS = 720;
const CHARTED_COLUMNS = 6;

/**
 * `headwater monitor report [MODEL]`: how predictions compare with training, window by window; as a page, or as a JSON array. Without a name, of each model
 * that is served, as far as there is something to tell.
 */
export async function reportOnModels(model: string | undefined, options: MonitorReportOptions): Promise<void> {
  const sinceMs = timeOption('--since', options.since);
  const project = await loadProject();
  const names = model === undefined ? project.serving.models.map(({ name }) => name) : [model];
  await withOffline(project, async (offline) => {
    if (options.json) {
      const reports = [];
      for (const name of names) reports.push(...(await reportsOf(offline, name, sinceMs, options)));
      printJsonArray(reports);
      return;
    }
    for (const name of names) {
      if (await reportOn(offline, name, sinceMs, options)) continue;
      const why = `no window of ${name} was compared yet: the role "monitor" does it (monitor.minRows predictions a window)`;
      if (model !== undefined) throw new CommandFailedError(why);
      process.stderr.write(`${why}\n`);
    }
  });
}

const reportsOf = (
  offline: OfflineDatabase,
  model: string,
  sinceMs: number | undefined,
  { modelVersion }: MonitorReportOptions,
): Promise<readonly DriftReport[]> => offline.drift.list({ model, version: modelVersion, sinceMs, limit: WINDOWS });

/** @returns false when there is nothing to tell */
async function reportOn(
  offline: OfflineDatabase,
  model: string,
  sinceMs: number | undefined,
  options: MonitorReportOptions,
): Promise<boolean> {
  const { out = '{model}-monitoring.html' } = options;
  const reports = await reportsOf(offline, model, sinceMs, options);
  const [newest] = reports;
  if (newest === undefined) return false;
  const ofVersion = reports.filter(({ version }) => version === newest.version);
  const file = out.replaceAll('{model}', model).replaceAll('{date}', new Date().toISOString().slice(0, 10));
  await createFileSystems()(file).write(file, Buffer.from(await page(model, ofVersion)));
  const drifted = newest.columns.filter((column) => column.drifted).map(({ column }) => column);
  print(
    `${model} ${newest.version}, window of ${timeOf(newest)} with ${newest.rows} predictions: ${drifted.length === 0 ? 'as in training' : `drifted: ${drifted.join(', ')}`}`,
  );
  print(`${ofVersion.length} windows are in ${file}`);
  return true;
}

const timeOf = ({ windowStartMs }: DriftReport): string => new Date(windowStartMs).toISOString();

/** Reports of one version, the newest first. */
function page(model: string, reports: readonly DriftReport[]): Promise<string> {
  const newest = reports[0] as DriftReport;
  const oldest = reports.at(-1) as DriftReport;
  const drifted = reports.filter(({ columns }) => columns.some((column) => column.drifted));
  const columns: Table = {
    title: `Columns in the newest window, ${timeOf(newest)}`,
    columns: ['column', 'drifted', 'psi', 'KS', "Cramér's V", 'p-value', 'missing', 'beyond the range of training'],
    rows: newest.columns.map((column) => [
      ...[column.column, column.drifted ? 'yes' : '', column.psi ?? '', column.ks ?? '', column.cramersV ?? ''],
      ...[column.pValue ?? '', column.nullShare, column.outOfRangeShare],
    ]),
  };
  const windows: Table = {
    title: 'Windows in which something had drifted',
    columns: ['window', 'predictions', 'columns'],
    rows: drifted.map((report) => [
      ...[timeOf(report), report.rows],
      report.columns
        .filter((column) => column.drifted)
        .map(({ column }) => column)
        .join(', '),
    ]),
  };
  return reportPage({
    title: `${model} ${newest.version} at work`,
    text: `${reports.length} windows of ${newest.windowMs / 60_000} minutes, from ${timeOf(oldest)} to ${timeOf(newest)}, compared with the training set of the version; ${drifted.length} of them had drifted.`,
    before: [columns],
    charts: [stabilityChart(reports), rowsChart(reports)],
    after: [windows],
  });
}

/** Hours before the newest window, below 0. */
const hoursOf = (report: DriftReport, newest: DriftReport): number =>
  (report.windowStartMs - newest.windowStartMs) / 3_600_000;

/** Returns the population stability index of the columns that have moved the most. @param reports - of one version, the newest first */
export function stabilityChart(reports: readonly DriftReport[]): Chart {
  const newest = reports[0] as DriftReport;
  const series = new Map<string, [number, number][]>();
  for (const report of [...reports].reverse()) {
    for (const { column, psi } of report.columns) {
      if (psi === undefined) continue;
      const points = series.get(column) ?? [];
      points.push([hoursOf(report, newest), psi]);
      series.set(column, points);
    }
  }
  const most = (points: readonly (readonly [number, number])[]): number => Math.max(...points.map(([, psi]) => psi));
  return {
    ...{ title: 'Population stability index', x: 'hours before the newest window', y: 'psi', kind: 'line' },
    series: [...series]
      .sort(([, a], [, b]) => most(b) - most(a))
      .slice(0, CHARTED_COLUMNS)
      .map(([name, points]) => ({ name, points })),
  };
}

/** Returns how many predictions each window had. @param reports - the newest first */
export function rowsChart(reports: readonly DriftReport[]): Chart {
  const newest = reports[0] as DriftReport;
  const points = [...reports].reverse().map((report) => [hoursOf(report, newest), report.rows] as const);
  return {
    ...{ title: 'Predictions', x: 'hours before the newest window', y: 'predictions', kind: 'line' },
    series: [{ name: 'predictions', points }],
  };
}
