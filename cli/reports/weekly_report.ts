import { checkContract } from '#feature_store/contracts/check_contract';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { DAY_MS, HOUR_MS } from '#kernel/time';
import type { DriftReport } from '#monitoring/drift/drift_report';
import type { Chart, Table } from '#registry/evaluation/evaluation';
import type { ReportPage } from '#registry/evaluation/report';
import { rowsChart, stabilityChart } from '../models/monitor_report.ts';
import type { OfflineDatabase } from '../parts/offline_database.ts';

/** What a report is of. */
export interface ReportSubjects {
  readonly views: readonly FeatureView[];
  /** Names of the served models. */
  readonly models: readonly string[];
}

type Sources = Pick<OfflineDatabase, 'features' | 'statistics' | 'drift'>;

/** Windows of a model, and of statistics, that are read at most. */
const MOST_WINDOWS = 5_000;
const CHARTED_VIEWS = 6;

/** Returns the report of models and data of the days before a time. */
export async function reportOfDays(
  sources: Sources,
  { views, models }: ReportSubjects,
  { nowMs, days }: { readonly nowMs: number; readonly days: number },
): Promise<ReportPage> {
  const sinceMs = nowMs - days * DAY_MS;
  const windows = await Promise.all(
    models.map((model) => sources.drift.list({ model, version: undefined, sinceMs, limit: MOST_WINDOWS })),
  );
  const charts = windows.flatMap((reports, index) => chartsOf(models[index] as string, reports));
  const data = [];
  for (const view of views) data.push(await dataOf(sources, view, { nowMs, sinceMs }));
  const busiest = data.filter(({ points }) => points.length > 0).sort((a, b) => b.rows - a.rows);
  return {
    title: 'Models and data',
    text: `${days} days, from ${new Date(sinceMs).toISOString()} to ${new Date(nowMs).toISOString()}, UTC.`,
    before: [modelTable(models, windows), dataTable(data), contractTable(data)],
    charts: [...charts, ...(busiest.length === 0 ? [] : [eventsChart(busiest.slice(0, CHARTED_VIEWS))])],
    after: [driftTable(models, windows)],
  };
}

/** Those of the newest version. */
const ofNewest = (reports: readonly DriftReport[]): readonly DriftReport[] =>
  reports.filter(({ version }) => version === reports[0]?.version);
const hasDrifted = ({ columns }: DriftReport): boolean => columns.some(({ drifted }) => drifted);

function chartsOf(model: string, reports: readonly DriftReport[]): readonly Chart[] {
  if (reports.length === 0) return [];
  const newest = ofNewest(reports);
  const titled = (chart: Chart): Chart => ({ ...chart, title: `${model}: ${chart.title}` });
  return [titled(stabilityChart(newest)), titled(rowsChart(newest))];
}

const modelTable = (models: readonly string[], windows: readonly (readonly DriftReport[])[]): Table => ({
  title: 'Models',
  columns: ['model', 'versions', 'predictions', 'windows', 'drifted windows'],
  rows: models.map((model, index) => {
    const reports = windows[index] ?? [];
    const versions = [...new Set(reports.map(({ version }) => version))].sort((a, b) => a - b);
    const predictions = reports.reduce((sum, { rows }) => sum + rows, 0);
    return [model, versions.join(', '), predictions, reports.length, reports.filter(hasDrifted).length];
  }),
});

const driftTable = (models: readonly string[], windows: readonly (readonly DriftReport[])[]): Table => ({
  title: 'Columns that have drifted',
  columns: ['model', 'version', 'column', 'windows', 'largest psi'],
  rows: models.flatMap((model, index) => {
    const found = new Map<string, { version: number; column: string; windows: number; psi: number }>();
    for (const { version, columns } of windows[index] ?? []) {
      for (const { column, drifted, psi = 0 } of columns) {
        if (!drifted) continue;
        const of = found.get(`${version} ${column}`) ?? { version, column, windows: 0, psi: 0 };
        found.set(`${version} ${column}`, { ...of, windows: of.windows + 1, psi: Math.max(of.psi, psi) });
      }
    }
    return [...found.values()].map((of) => [model, of.version, of.column, of.windows, of.psi]);
  }),
});

interface ViewData {
  readonly view: FeatureView;
  /** Of events, in the time of the report. */
  readonly rows: number;
  readonly newest: string;
  readonly missing: readonly (readonly [feature: string, share: number])[];
  /** Hours before the end, below 0, and rows. */
  readonly points: readonly (readonly [number, number])[];
  readonly contract: readonly (readonly [term: string, holds: boolean])[];
}

async function dataOf(
  sources: Sources,
  view: FeatureView,
  { nowMs, sinceMs }: { readonly nowMs: number; readonly sinceMs: number },
): Promise<ViewData> {
  const [times, statistics, terms] = await Promise.all([
    sources.features.timesOf(view),
    sources.statistics.list({ view, fromMs: sinceMs, limit: MOST_WINDOWS }),
    checkContract(sources, view, nowMs),
  ]);
  const byFeature = new Map<string, { rows: number; nulls: number }>();
  const byWindow = new Map<number, number>();
  for (const { feature, windowStartMs, statistics: of } of statistics) {
    const sum = byFeature.get(feature) ?? { rows: 0, nulls: 0 };
    byFeature.set(feature, { rows: sum.rows + of.rows, nulls: sum.nulls + of.nulls });
    byWindow.set(windowStartMs, Math.max(byWindow.get(windowStartMs) ?? 0, of.rows));
  }
  return {
    view,
    rows: [...byWindow.values()].reduce((sum, rows) => sum + rows, 0),
    newest: times === undefined ? '' : new Date(times.newest).toISOString(),
    missing: [...byFeature].flatMap(([feature, { rows, nulls }]) =>
      nulls === 0 ? [] : [[feature, nulls / rows] as const],
    ),
    points: [...byWindow].sort(([a], [b]) => a - b).map(([at, rows]) => [(at - nowMs) / HOUR_MS, rows] as const),
    contract: terms.map(({ term, feature, holds }) => [feature === undefined ? term : `${term} ${feature}`, holds]),
  };
}

const MOST_MISSING = 5;

const dataTable = (data: readonly ViewData[]): Table => ({
  title: 'Data',
  columns: ['view', 'owner', 'rows of events', 'newest row', 'missing most'],
  rows: data.map(({ view, rows, newest, missing }) => [
    ...[viewId(view), view.owner, rows, newest],
    [...missing]
      .sort(([, a], [, b]) => b - a)
      .slice(0, MOST_MISSING)
      .map(([feature, share]) => `${feature} ${(100 * share).toFixed(1)} %`)
      .join(', '),
  ]),
});

const contractTable = (data: readonly ViewData[]): Table => ({
  title: 'Contracts of views',
  columns: ['view', 'term', 'holds'],
  rows: data.flatMap(({ view, contract }) =>
    contract.map(([term, holds]) => [viewId(view), term, holds ? 'yes' : 'no']),
  ),
});

const eventsChart = (data: readonly ViewData[]): Chart => ({
  ...{ title: 'Rows of events by window', x: 'hours before the end', y: 'rows', kind: 'line' },
  series: data.map(({ view, points }) => ({ name: viewId(view), points })),
});
