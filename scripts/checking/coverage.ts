import { readFileSync } from 'node:fs';
import coverage from 'istanbul-lib-coverage';
import report from 'istanbul-lib-report';
import reports from 'istanbul-reports';

/** Of all lines, per cent. */
export const LEAST_LINES = 80;

/**
 * Puts the coverage of several stages together: what any of them ran counts. Writes `folder`/index.html and prints the sums.
 *
 * @param files - coverage-final.json of each stage
 * @returns the lines that were run, per cent
 */
export function reportCoverage(files: readonly string[], folder: string): number {
  const all = coverage.createCoverageMap({});
  for (const file of files) all.merge(JSON.parse(readFileSync(file, 'utf8')) as coverage.CoverageMapData);
  const context = report.createContext({ dir: folder, coverageMap: all });
  for (const kind of ['html', 'text-summary'] as const) reports.create(kind).execute(context);
  return all.getCoverageSummary().lines.pct;
}
