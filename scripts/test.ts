import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '#kernel/project_root';
import { LEAST_LINES, reportCoverage } from './checking/coverage.ts';
import { type FileResult, FileResults, readFileResults } from './checking/file_results.ts';
import { ALL_SERVERS, type StartedServers, startServers } from './services/start_all.ts';

/**
 * npm test: the stages in order, also after a failure; the servers the later ones need are started once, beside the stages that need none, and stopped at the end. Two files run at a time, of those with servers three.
 * `--coverage` says how much of the code they run (of what runs in Jest: commands as processes of their own do not count), and fails below 80 % of the lines.
 * `--only unit,integration` picks stages, also those that take minutes and are not among npm test's: `recovery`, `models` and `clients`, which `--all` adds, and
 * `faults` and `package`. `--long` runs tests that have a long form in it (test/support/jest/forms.ts). Anything else narrows Jest by path. Files that fail are run a second time, alone, when
 * they are few: what passes then is listed as such, for it depended on what ran beside it. The seconds of each stage, the slowest files and each failure come
 * at the end; the last line counts everything.
 */
const USUAL_STAGES = ['lint', 'types', 'unit', 'conformance', 'integration', 'e2e', 'attack'] as const;
/** Kills and outages; training in Python; clients, files and documents of others, which their own tools write and read. */
const ALL_STAGES = [...USUAL_STAGES, 'recovery', 'models', 'clients'] as const;
const STAGES = [...ALL_STAGES, 'faults', 'package'] as const;
/** Those break servers, or load both cores by themselves: one file at a time. */
const ALONE: ReadonlySet<Stage> = new Set(['recovery', 'models', 'clients', 'faults', 'package']);
const WORKERS = 2;
/** Files that need servers wait for these and for processes of their own half of their time. */
const WORKERS_WITH_SERVERS = 3;
type Stage = (typeof STAGES)[number];
const COVERAGE_FOLDER = `${projectRoot}coverage`;
/** `faults` starts what it needs itself. */
const NEEDS_SERVERS: readonly Stage[] = ['integration', 'e2e', 'attack', 'recovery', 'models', 'clients'];
/** What files of one worker empty, fill or use by fixed names: each further worker has its own (test/support/jest/worker_environment.mjs). */
const OF_EACH_WORKER: readonly string[] = ['kafka', 'redis', 'postgres', 'mlflow'];

interface Counts {
  passed: number;
  failed: number;
}

const wantsCoverage = process.argv.includes('--coverage');
const isLong = process.argv.includes('--long');
const { stages, patterns } = readArguments(
  process.argv.slice(2).filter((argument) => !['--coverage', '--long'].includes(argument)),
);
const NODE_OPTIONS = '--experimental-vm-modules --no-warnings';
const covered: string[] = [];
const counts: Counts = { passed: 0, failed: 0 };
const results: string[] = [];
const files = new FileResults();
const servers: StartedServers[] = [];
const serverEnv: Record<string, string> = {};
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    interrupted = true;
  });
}

// To install and start them is mostly waiting: the stages that need none run meanwhile.
const starting = stages.some((stage) => NEEDS_SERVERS.includes(stage)) ? startAllServers() : Promise.resolve();
starting.catch(() => {});
try {
  for (const stage of stages) {
    if (NEEDS_SERVERS.includes(stage)) await starting;
    if (interrupted) break;
    await runStage(stage, serverEnv);
  }
} finally {
  await starting.catch(() => {});
  await Promise.all(servers.map((each) => each.stop()));
}
if (wantsCoverage) {
  const lines = reportCoverage(covered, COVERAGE_FOLDER);
  const enough = lines >= LEAST_LINES;
  count('coverage', { passed: enough ? 1 : 0, failed: enough ? 0 : 1 }, 0);
}
process.stdout.write(`\n${files.summary()}\n`);
process.stdout.write(`\n${results.join('\n')}\n${counts.passed} passed, ${counts.failed} failed\n`);
process.exitCode = counts.failed > 0 || counts.passed === 0 || interrupted ? 1 : 0;

function readArguments(args: readonly string[]): { stages: readonly Stage[]; patterns: readonly string[] } {
  const only = args.indexOf('--only');
  if (only < 0) {
    const isAll = args.includes('--all');
    return { stages: isAll ? ALL_STAGES : USUAL_STAGES, patterns: args.filter((argument) => argument !== '--all') };
  }
  const chosen = (args[only + 1] ?? '').split(',');
  const unknown = chosen.filter((name) => !(STAGES as readonly string[]).includes(name));
  if (unknown.length > 0)
    throw new RangeError(`--only: "${unknown.join(', ')}" is no stage; stages are ${STAGES.join(', ')}`);
  return {
    stages: STAGES.filter((stage) => chosen.includes(stage)),
    patterns: args.filter((_, at) => at !== only && at !== only + 1),
  };
}

async function startAllServers(): Promise<void> {
  const startedMs = Date.now();
  const first = await startServers(ALL_SERVERS);
  servers.push(first);
  Object.assign(serverEnv, first.env);
  const failures = [...first.failures];
  if (stages.some((stage) => NEEDS_SERVERS.includes(stage) && !ALONE.has(stage))) {
    for (let worker = 2; worker <= WORKERS_WITH_SERVERS; worker += 1) {
      const own = await startServers(OF_EACH_WORKER);
      servers.push(own);
      for (const [name, value] of Object.entries(own.env)) serverEnv[`WORKER_${worker}_${name}`] = value;
      failures.push(...own.failures);
    }
  }
  const started = ALL_SERVERS.length + (servers.length - 1) * OF_EACH_WORKER.length;
  count('servers', { passed: started - failures.length, failed: failures.length }, startedMs);
}

async function runStage(stage: Stage, env: Readonly<Record<string, string>>): Promise<void> {
  process.stdout.write(`\n=== ${stage}\n`);
  const startedMs = Date.now();
  if (stage === 'lint' || stage === 'types') {
    const commands =
      stage === 'lint'
        ? [['biome', 'check', '.']]
        : [
            ['tsc', '-p', 'tsconfig.json'],
            ['tsc', '-p', 'serving/console/app/tsconfig.json'],
          ];
    let code = 0;
    for (const command of commands) code ||= await spawned('npx', ['--no-install', ...command], {});
    count(stage, code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 }, startedMs);
    return;
  }
  const filter = patterns.length === 0 ? [] : ['--testPathPatterns', ...patterns];
  const atOnce = NEEDS_SERVERS.includes(stage) ? WORKERS_WITH_SERVERS : WORKERS;
  const workers = ALONE.has(stage) ? '--runInBand' : `--maxWorkers=${atOnce}`;
  const coverage = wantsCoverage
    ? ['--coverage', '--coverageReporters=json', `--coverageDirectory=${COVERAGE_FOLDER}/${stage}`]
    : [];
  const results = await runJest(stage, env, [workers, ...filter, ...coverage]);
  if (results === undefined) {
    count(stage, { passed: 0, failed: 1 }, startedMs);
    return;
  }
  const failed = interrupted ? [] : FileResults.toRunAgain(results);
  const again =
    failed.length === 0 ? undefined : await runJest(stage, env, ['--runInBand', '--runTestsByPath', ...failed]);
  count(stage, files.add(results, again), startedMs);
  const written = `${COVERAGE_FOLDER}/${stage}/coverage-final.json`;
  if (wantsCoverage && existsSync(written)) covered.push(written);
}

/** Returns what each file did; undefined when Jest ended without a report. */
async function runJest(
  stage: Stage,
  env: Readonly<Record<string, string>>,
  args: readonly string[],
): Promise<FileResult[] | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'headwater-jest-'));
  const report = join(folder, 'report.json');
  const usual = ['--no-install', 'jest', '--selectProjects', stage, '--json', `--outputFile=${report}`, '--forceExit'];
  await spawned('npx', [...usual, ...args], { ...env, ...(isLong ? { TEST_LONG: 'yes' } : {}), NODE_OPTIONS });
  try {
    return await readFileResults(report);
  } catch {
    return undefined;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function count(name: string, { passed, failed }: Counts, startedMs: number): void {
  counts.passed += passed;
  counts.failed += failed;
  const seconds = startedMs === 0 ? '' : ` in ${((Date.now() - startedMs) / 1_000).toFixed(0)} s`;
  const line = `${name.padEnd(12)} ${passed} passed, ${failed} failed${seconds}`;
  results.push(`- ${line}`);
  process.stdout.write(`--- ${line}\n`);
}

function spawned(command: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  return new Promise((resolve) => {
    // Jest's JSON goes to a file; its progress to standard error.
    const child = spawn(command, [...args], {
      cwd: projectRoot,
      stdio: ['ignore', command === 'npx' && args.includes('jest') ? 'ignore' : 'inherit', 'inherit'],
      env: { ...process.env, ...env },
    });
    child.on('error', () => resolve(1));
    child.on('close', (code) => resolve(code ?? 1));
  });
}
