import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import Table from 'cli-table3';
import { messageOf } from '#kernel/errors';
import { assetPath } from '#kernel/project_root';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { FLINK_DEFAULTS } from '#pipelines/runner/portable/flink_options';
import type { OptionValue } from '#pipelines/runner/portable/job_client';
import { runPortable } from '#pipelines/runner/portable/portable';
import { heldAssertions } from '#pipelines/testing/assert';
import { ADJUSTMENTS } from '#pipelines/testing/validates_runner/known_gaps';
import type { RunnerCase } from '#pipelines/testing/validates_runner/runner_case';
import { startServers } from './services/start_all.ts';
import {
  type CaseStatus,
  gapOf,
  mergeResults,
  RESULTS_FILE,
  RUNNERS,
  type RunnerName,
  type RunnerResults,
  runnerSuite,
  TABLE_PAGE,
  titleOf,
  withRunnerTable,
} from './writing/runner_table.ts';

/**
 * npm run test:runners [-- --only embedded,prism,flink] [PATTERN]: the validates-runner suite on every runner, and a table of
 * features. What a runner itself does not support is listed with the evidence it gives, and counted apart. Results, and the table in
 * docs/pipelines.md, are written for the cases that were run. TEST_PRISM_JOB_ENDPOINT and TEST_FLINK_JOB_ENDPOINT name runners that are
 * there already.
 */
/** Options that the suite runs with. */
const OPTIONS: Readonly<Record<RunnerName, Readonly<Record<string, OptionValue>>>> = {
  embedded: {},
  prism: {},
  flink: {
    ...FLINK_DEFAULTS,
    parallelism: 1,
    checkpointing_interval: 1_000,
    shutdown_sources_after_idle_ms: 500,
    // A TestStream does not wait here for what it has emitted: with larger bundles its steps would run into each other.
    max_bundle_size: 1,
    number_of_execution_retries: 0,
  },
};
type Outcome = { readonly kind: 'passed' } | { readonly kind: Exclude<CaseStatus, 'passed'>; readonly why: string };

const CASE_DEADLINE_MS = 60_000;

const args = process.argv.slice(2);
const onlyAt = args.indexOf('--only');
const runners = RUNNERS.filter((name) => onlyAt < 0 || args[onlyAt + 1]?.split(',').includes(name));
const patterns = onlyAt < 0 ? args : args.filter((_, at) => at !== onlyAt && at !== onlyAt + 1);
const suite = runnerSuite.filter((one) => patterns.every((pattern) => titleOf(one).includes(pattern)));

const portable = runners.filter((name) => name !== 'embedded');
const started = await startServers(portable.filter((name) => process.env[variableOf(name)] === undefined));
if (started.failures.length > 0) throw new Error(started.failures.join('\n'));
const outcomes = new Map<string, Outcome>();
try {
  for (const runner of runners) {
    for (const one of suite) {
      const outcome = await outcomeOf(one, runner);
      outcomes.set(`${runner} ${titleOf(one)}`, outcome);
      if (outcome.kind !== 'passed')
        process.stdout.write(`${runner}: ${outcome.kind}: ${titleOf(one)}\n  ${outcome.why}\n`);
    }
  }
} finally {
  await started.stop();
}
printTable();
writeResults();
const all = [...outcomes.values()];
const passed = all.filter(({ kind }) => kind === 'passed').length;
const failed = all.filter(({ kind }) => kind === 'failed').length;
const unsupported = all.length - passed - failed;
for (const { runner, matches, because } of ADJUSTMENTS.filter(({ runner: name }) => runners.includes(name))) {
  process.stdout.write(`${runner}: cases ${matches.source} ${because}\n`);
}
process.stdout.write(`${unsupported} not supported by their runner (listed above with its evidence)\n`);
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);

function variableOf(runner: RunnerName): string {
  return `TEST_${runner.toUpperCase()}_JOB_ENDPOINT`;
}

async function outcomeOf(one: RunnerCase, runner: RunnerName): Promise<Outcome> {
  let error: unknown;
  try {
    await withDeadline((signal) => runChecked(one, runner, signal));
  } catch (caught) {
    error = caught;
  }
  const problem = problemOf(one, error);
  const gap = gapOf(runner, titleOf(one));
  if (problem === undefined) {
    return gap === undefined ? { kind: 'passed' } : { kind: 'failed', why: 'listed as not supported, but passes' };
  }
  if (gap?.evidence.test(problem)) return { kind: 'unsupported', why: `${gap.because}. It says: ${excerpt(problem)}` };
  return { kind: 'failed', why: excerpt(problem) };
}

function problemOf({ failsWith: fails, refusedWith }: RunnerCase, error: unknown): string | undefined {
  const failsWith = fails ?? refusedWith;
  if (failsWith === undefined) return error === undefined ? undefined : messageOf(error);
  if (error === undefined) return `the job should have failed with ${failsWith}`;
  return failsWith.test(messageOf(error)) ? undefined : `failed with something else: ${messageOf(error)}`;
}

/** Runs a case, and sees that each of its assertions was made. */
async function runChecked(one: RunnerCase, runner: RunnerName, signal: AbortSignal): Promise<void> {
  heldAssertions.clear();
  await run(one, runner, signal);
  const names = createPipeline(one.build).transforms.map(({ name }) => name);
  const missing = names.flatMap((name) => {
    const assertion = /^(.*)\/Check$/.exec(name)?.[1];
    return assertion === undefined || heldAssertions.has(assertion) ? [] : [assertion];
  });
  if (missing.length > 0) throw new Error(`the job ended, but never checked ${missing.join(', ')}`);
}

async function run(one: RunnerCase, runner: RunnerName, signal: AbortSignal): Promise<void> {
  const { build, name } = one;
  if (runner === 'embedded') {
    await runEmbedded(createPipeline(build)).finished;
    return;
  }
  const variable = variableOf(runner);
  const jobEndpoint = process.env[variable] ?? (started.env[variable] as string);
  const common = OPTIONS[runner];
  const adjusted = ADJUSTMENTS.find((other) => other.runner === runner && other.matches.test(titleOf(one)));
  const runnerOptions = { ...common, ...adjusted?.options };
  const jobName = name.replace(/[^a-z0-9]+/gi, '-').toLowerCase();
  await runPortable(build, { jobEndpoint, runnerOptions, jobName, signal });
}

async function withDeadline(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const controller = new AbortController();
  const late = new Error(`not done after ${CASE_DEADLINE_MS / 1_000} s`);
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      controller.abort();
      reject(late);
    }, CASE_DEADLINE_MS);
  });
  const working = work(controller.signal);
  working.catch(() => {});
  await Promise.race([working, deadline]).finally(() => clearTimeout(timer));
}

function excerpt(problem: string): string {
  return problem.replace(/\s+/g, ' ').slice(0, 600);
}

function writeResults(): void {
  const file = assetPath(RESULTS_FILE);
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as RunnerResults) : {};
  const newer = Object.fromEntries(
    suite
      .map(titleOf)
      .map((title) => [
        title,
        Object.fromEntries(runners.map((runner) => [runner, outcomes.get(`${runner} ${title}`)?.kind])),
      ]),
  );
  const results = mergeResults(before, newer);
  writeFileSync(file, `${JSON.stringify(results, undefined, 2)}\n`);
  const page = assetPath(TABLE_PAGE);
  writeFileSync(page, withRunnerTable(readFileSync(page, 'utf8'), results));
}

function printTable(): void {
  const table = new Table({ head: ['feature', ...runners], style: { head: [], border: [] } });
  for (const feature of new Set(suite.map((one) => one.feature))) {
    const own = suite.filter((one) => one.feature === feature);
    const cell = (runner: RunnerName): string => {
      const kinds = own.map((one) => outcomes.get(`${runner} ${titleOf(one)}`)?.kind);
      const count = (kind: string): number => kinds.filter((other) => other === kind).length;
      const parts = [`${count('passed')}/${own.length}`];
      if (count('unsupported') > 0) parts.push(`${count('unsupported')} not supported`);
      if (count('failed') > 0) parts.push(`${count('failed')} FAILED`);
      return parts.join(', ');
    };
    table.push([feature, ...runners.map(cell)]);
  }
  process.stdout.write(`${table.toString()}\n`);
}
