import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '#kernel/project_root';
import { LEAST_LINES, reportCoverage } from './coverage.ts';
import { ALL_SERVERS, type StartedServers, startServers } from './services/start_all.ts';

/**
 * npm test: the stages in order, also after a failure; the servers the later ones need are started once and stopped at the end.
 * `--coverage` says how much of the code they run (of what runs in Jest: commands as processes of their own do not count), and fails below 80 % of the lines.
 * `--only unit,integration` picks stages, also those that take minutes and are not among npm test's: `recovery` and `models`, which `--all` adds, and
 * `faults`. Anything else narrows Jest by path. The last line counts everything.
 */
const USUAL_STAGES = ['lint', 'types', 'unit', 'conformance', 'integration', 'e2e', 'attack'] as const;
/** Kills and outages; training in Python. */
const ALL_STAGES = [...USUAL_STAGES, 'recovery', 'models'] as const;
const STAGES = [...ALL_STAGES, 'faults'] as const;
type Stage = (typeof STAGES)[number];
const COVERAGE_FOLDER = `${projectRoot}coverage`;
/** `faults` starts what it needs itself. */
const NEEDS_SERVERS: readonly Stage[] = ['integration', 'e2e', 'attack', 'recovery', 'models'];

interface Counts {
  passed: number;
  failed: number;
}

const wantsCoverage = process.argv.includes('--coverage');
const { stages, patterns } = readArguments(process.argv.slice(2).filter((argument) => argument !== '--coverage'));
const covered: string[] = [];
const counts: Counts = { passed: 0, failed: 0 };
const results: string[] = [];
let servers: StartedServers | undefined;
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    interrupted = true;
  });
}

try {
  for (const stage of stages) {
    if (interrupted) break;
    if (servers === undefined && NEEDS_SERVERS.includes(stage)) {
      servers = await startServers(ALL_SERVERS);
      count('servers', { passed: ALL_SERVERS.length - servers.failures.length, failed: servers.failures.length }, 0);
    }
    await runStage(stage, servers?.env ?? {});
  }
} finally {
  await servers?.stop();
}
if (wantsCoverage) {
  const lines = reportCoverage(covered, COVERAGE_FOLDER);
  const enough = lines >= LEAST_LINES;
  count('coverage', { passed: enough ? 1 : 0, failed: enough ? 0 : 1 }, 0);
}
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
  const folder = await mkdtemp(join(tmpdir(), 'headwater-jest-'));
  const report = join(folder, 'report.json');
  const filter = patterns.length === 0 ? [] : ['--testPathPatterns', ...patterns];
  // One worker for tests that share servers; two cores for the rest.
  const workers = NEEDS_SERVERS.includes(stage) || stage === 'faults' ? ['--runInBand'] : ['--maxWorkers=2'];
  const args = [
    '--no-install',
    'jest',
    '--selectProjects',
    stage,
    '--json',
    `--outputFile=${report}`,
    '--forceExit',
    ...workers,
    ...filter,
    ...(wantsCoverage
      ? ['--coverage', '--coverageReporters=json', `--coverageDirectory=${COVERAGE_FOLDER}/${stage}`]
      : []),
  ];
  await spawned('npx', args, { ...env, NODE_OPTIONS: '--experimental-vm-modules --no-warnings' });
  count(stage, await readReport(report), startedMs);
  const coverage = `${COVERAGE_FOLDER}/${stage}/coverage-final.json`;
  if (wantsCoverage && existsSync(coverage)) covered.push(coverage);
  await rm(folder, { recursive: true });
}

async function readReport(report: string): Promise<Counts> {
  interface JestReport {
    readonly numPassedTests: number;
    readonly numFailedTests: number;
    readonly numRuntimeErrorTestSuites: number;
  }
  try {
    const read = JSON.parse(await readFile(report, 'utf8')) as JestReport;
    return { passed: read.numPassedTests, failed: read.numFailedTests + read.numRuntimeErrorTestSuites };
  } catch {
    return { passed: 0, failed: 1 };
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
