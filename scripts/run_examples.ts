import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import Table from 'cli-table3';
import { assetPath } from '#kernel/project_root';
import { caseFile, EXAMPLES } from './writing/example_projects.ts';

// npm run examples [-- NAME …]: runs the examples that have a case, each from events to predictions on a platform of its own, embedded, and prints what came of them.

/** What a case prints on its last line, after `RESULT`. */
interface CaseResult {
  readonly case: string;
  readonly events: number;
  readonly features: string;
  readonly model: string;
  readonly metric: string;
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
  readonly baseline: { readonly name: string; readonly estimate: number; readonly low: number; readonly high: number };
  readonly p95Ms: number;
  readonly seconds: number;
}
type Interval = Pick<CaseResult, 'estimate' | 'low' | 'high'>;

const asked = process.argv.slice(2);
const cases = EXAMPLES.filter((name) => existsSync(assetPath(caseFile(name))));
const unknown = asked.filter((name) => !(cases as readonly string[]).includes(name));
if (unknown.length > 0) throw new RangeError(`no case "${unknown.join(', ')}"; cases are ${cases.join(', ')}`);

const results: CaseResult[] = [];
const failed: string[] = [];
for (const name of cases.filter((each) => asked.length === 0 || asked.includes(each))) {
  process.stdout.write(`\n=== ${name}\n`);
  const { code, output } = await runCase(name);
  const [, line] = /RESULT (\{.*\})/.exec(output) ?? [];
  if (code === 0 && line !== undefined) results.push(JSON.parse(line) as CaseResult);
  else failed.push(name);
}

const rounded = (value: number): string => String(Number(value.toPrecision(4)));
const interval = ({ estimate, low, high }: Interval): string =>
  `${rounded(estimate)} [${rounded(low)}, ${rounded(high)}]`;
const table = new Table({
  head: ['case', 'events', 'features', 'model', 'metric', 'result [95 %]', 'baseline [95 %]', 'p95 ms', 'seconds'],
  style: { head: [], border: [] },
});
for (const { baseline, ...each } of results) {
  table.push([
    ...[each.case, each.events, each.features, each.model, each.metric, interval(each)],
    ...[`${baseline.name}: ${interval(baseline)}`, rounded(each.p95Ms), Math.round(each.seconds)],
  ]);
}
process.stdout.write(`\n${table.toString()}\n`);
if (failed.length > 0) process.stdout.write(`failed: ${failed.join(', ')}\n`);
process.stdout.write(`${results.length} passed, ${failed.length} failed\n`);
process.exitCode = failed.length > 0 || results.length === 0 ? 1 : 0;

/** Runs a case as its README says, and shows what it prints. */
async function runCase(name: (typeof EXAMPLES)[number]): Promise<{ code: number | null; output: string }> {
  const args = [assetPath('dist/cli/headwater.js'), 'test', `test/${name}.case.ts`];
  const env = { ...process.env, HEADWATER_PROJECT: '' };
  const child = spawn(process.execPath, args, {
    ...{ cwd: assetPath(`examples/${name}`), env, stdio: ['ignore', 'pipe', 'inherit'] },
  });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString('utf8');
    process.stdout.write(chunk);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { code, output };
}
