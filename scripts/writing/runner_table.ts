import nexmark from '#examples/nexmark/pipeline';
import { QUERIES } from '#examples/nexmark/queries';
import { UNSUPPORTED } from '#pipelines/testing/validates_runner/known_gaps';
import type { RunnerCase } from '#pipelines/testing/validates_runner/runner_case';
import { validatesRunnerSuite } from '#pipelines/testing/validates_runner/suite';

export const RUNNERS = ['embedded', 'prism', 'flink'] as const;
export type RunnerName = (typeof RUNNERS)[number];
export type CaseStatus = 'passed' | 'failed' | 'unsupported';
/** What the newest run of each case gave, by `feature: name`. */
export type RunnerResults = Readonly<Record<string, Readonly<Partial<Record<RunnerName, CaseStatus>>>>>;

export const RESULTS_FILE = 'docs/reference/runners.json';
export const TABLE_PAGE = 'docs/pipelines.md';
const BEGIN = '<!-- written by npm run test:runners -->';
const END = '<!-- end of the table -->';
const HEADINGS: Readonly<Record<RunnerName, string>> = { embedded: 'embedded', prism: 'Prism', flink: 'Flink' };

/** All cases that `npm run test:runners` runs. */
export const runnerSuite: readonly RunnerCase[] = [
  ...validatesRunnerSuite,
  ...QUERIES.map((_, query) => ({
    feature: 'Nexmark',
    name: `query ${query}`,
    build: nexmark({ query: String(query), events: '3000' }),
  })),
];

export const titleOf = ({ feature, name }: RunnerCase): string => `${feature}: ${name}`;

/** The gap that a runner is known to have in a case. */
export const gapOf = (runner: RunnerName, title: string): (typeof UNSUPPORTED)[number] | undefined =>
  UNSUPPORTED.find((gap) => gap.runner === runner && gap.matches.test(title));

/** Results with those of another run put in. Cases that the suite does not have any more are left out. */
export function mergeResults(before: RunnerResults, newer: RunnerResults): RunnerResults {
  return Object.fromEntries(
    runnerSuite.map(titleOf).map((title) => [title, { ...before[title], ...newer[title] }] as const),
  );
}

/** Returns the page with the table of features by runner. */
export function withRunnerTable(page: string, results: RunnerResults): string {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${TABLE_PAGE}: lines "${BEGIN}" and "${END}" are missing`);
  return `${page.slice(0, from + BEGIN.length)}\n\n${runnerTable(results)}\n\n${page.slice(to)}`;
}

/** Returns features, runners, and how many cases of each are supported; what is not supported has a note. */
export function runnerTable(results: RunnerResults): string {
  const notes: string[] = [];
  const cell = (cases: readonly RunnerCase[], runner: RunnerName): string => {
    const titles = cases.map(titleOf);
    const not = titles.filter((title) => results[title]?.[runner] !== 'passed');
    if (not.length === 0) return 'yes';
    const reasons = new Set(not.map((title) => reasonOf(runner, title, results)));
    const numbers = [...reasons].map((reason) => {
      if (!notes.includes(reason)) notes.push(reason);
      return notes.indexOf(reason) + 1;
    });
    return `${not.length === titles.length ? 'no' : `${titles.length - not.length} of ${titles.length}`} (${numbers.join(', ')})`;
  };
  const features = [...new Set(runnerSuite.map(({ feature }) => feature))];
  const rows = features.map((feature) => {
    const cases = runnerSuite.filter((one) => one.feature === feature);
    return `| ${feature} | ${cases.length} | ${RUNNERS.map((runner) => cell(cases, runner)).join(' | ')} |`;
  });
  return [
    `| feature | cases | ${RUNNERS.map((runner) => HEADINGS[runner]).join(' | ')} |`,
    `|---|---|${'---|'.repeat(RUNNERS.length)}`,
    ...rows,
    '',
    ...notes.map((note, at) => `${at + 1}. ${note}.`),
  ].join('\n');
}

function reasonOf(runner: RunnerName, title: string, results: RunnerResults): string {
  const status = results[title]?.[runner];
  const gap = status === 'unsupported' ? gapOf(runner, title) : undefined;
  return gap?.because ?? `${HEADINGS[runner]}: "${title}" ${status ?? 'was not run'}`;
}
