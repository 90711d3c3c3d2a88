import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import type { OfflineDatabase } from '#cli/parts/offline_database';
import { reportParts } from '#cli/reports/report_workflow';
import { reportOfDays } from '#cli/reports/weekly_report';
import { writeReport } from '#cli/reports/write_report';
import { fraudView } from '#examples/fraud/features/fraud';
import { HOUR_MS } from '#kernel/time';

const NOW = Date.parse('2026-01-12T06:00:00Z');

/** A week of a model that has drifted in one window, and of a view with missing values whose events ended three days ago. */
const offline = {
  drift: {
    list: async () =>
      [1, 2, 3].map((ago) => ({
        ...{ model: 'fraud_detector', version: 2, windowStartMs: NOW - ago * HOUR_MS, windowMs: HOUR_MS, rows: 400 },
        columns: [
          { column: 'amount', kind: 'feature', psi: ago / 10, drifted: ago === 3, nullShare: 0, outOfRangeShare: 0 },
        ],
      })),
  },
  statistics: {
    list: async ({ limit }: { limit: number }) =>
      [73, 74].slice(0, limit).map((ago) => ({
        ...{
          view: 'fraud',
          version: 1,
          feature: 'seconds_since_last',
          windowStartMs: NOW - ago * HOUR_MS,
          windowMs: HOUR_MS,
        },
        statistics: { rows: 100, nulls: 25 },
      })),
  },
  features: {
    timesOf: async () => ({ oldest: NOW - 100 * HOUR_MS, newest: NOW - 72 * HOUR_MS }),
    rowsBetween: async () => [],
  },
} as unknown as OfflineDatabase;

const subjects = { views: [fraudView], models: ['fraud_detector'] };

test('a report has models, drift, data and contracts, as a page and as Markdown with pictures', async () => {
  const page = await reportOfDays(offline, subjects, { nowMs: NOW, days: 7 });
  const rowsOf = (title: string) => [...page.before, ...page.after].find((table) => table.title === title)?.rows;
  expect(rowsOf('Models')).toEqual([['fraud_detector', '2', 1_200, 3, 1]]);
  expect(rowsOf('Columns that have drifted')).toEqual([['fraud_detector', 2, 'amount', 1, 0.3]]);
  expect(rowsOf('Data')).toEqual([['fraud@1', 'risk', 200, '2026-01-09T06:00:00.000Z', 'seconds_since_last 25.0 %']]);
  expect(rowsOf('Contracts of views')).toContainEqual(['fraud@1', 'freshness', 'no']);

  const folder = mkdtempSync(join(tmpdir(), 'days-report-'));
  try {
    expect(await writeReport(folder, page)).toBe(join(folder, 'report.html'));
    expect(readdirSync(folder).sort()).toEqual([
      'chart_1.svg',
      'chart_2.svg',
      'chart_3.svg',
      'report.html',
      'report.md',
    ]);
    expect(readFileSync(join(folder, 'report.html'), 'utf8').match(/<svg/g)).toHaveLength(3);
    const markdown = readFileSync(join(folder, 'report.md'), 'utf8');
    expect(markdown).toContain('![fraud_detector: Population stability index](chart_1.svg)');
    expect(markdown).toContain('| fraud_detector | 2 | 1200 | 3 | 1 |');
    expect(readFileSync(join(folder, 'chart_3.svg'), 'utf8')).toMatch(/^<svg[\s\S]*rows/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a band lies behind the lines of a chart', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'band-'));
  const chart = {
    ...{ title: 'Forecast | with interval', x: 'day', y: 'close', kind: 'line' as const },
    series: [{ name: 'actual', points: [[0, 10] as const, [1, 11] as const] }],
    band: [[0, 9, 11] as const, [1, 10, 12] as const],
  };
  try {
    await writeReport(folder, {
      title: 'T',
      text: 't',
      before: [{ title: 'A', columns: ['x|y'], rows: [['a|b']] }],
      charts: [chart],
      after: [],
    });
    expect(readFileSync(join(folder, 'chart_1.svg'), 'utf8')).toContain('fill="#999"');
    expect(readFileSync(join(folder, 'report.md'), 'utf8')).toContain('| a\\|b |');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('reports.schedule adds the workflow report', () => {
  expect(reportParts({ reports: { days: 7 } })).toEqual({ workflows: [], tasks: [], schedules: {} });
  const parts = reportParts({ reports: { days: 7, out: 's3://reports/{date}', schedule: { cron: '0 6 * * 1' } } });
  expect(parts.workflows.map(({ name }) => name)).toEqual(['report']);
  expect(parts.schedules).toEqual({ report: { workflow: 'report', cron: '0 6 * * 1' } });
});
