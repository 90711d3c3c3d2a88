import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { projectRoot } from '#kernel/project_root';

// npm run bench [-- SUITE] [--json] [--before REF]: each suite in a process of its own; JSON lines, or a table.
const {
  positionals: [suite],
  values: { json, before },
} = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false }, before: { type: 'string' } },
});
const folder = `${projectRoot}dist/bench`;
const suites = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.bench.js'));
const nameOf = (path: string): string => basename(path, '.bench.js');
const files = suites.filter((path) => nameOf(path).startsWith(suite ?? ''));
if (files.length === 0) {
  process.stderr.write(`no suite "${suite}"; suites are ${suites.map(nameOf).sort().join(', ')}\n`);
  process.exitCode = 1;
}
if (before !== undefined && files.some((file) => nameOf(file) !== 'gateway')) {
  process.stderr.write('--before REF compares the gateway alone: npm run bench -- gateway --before REF\n');
  process.exit(1);
}

const columns = ['bench', 'case', 'metric', 'value', 'unit', 'peer', 'peer_value', 'ratio', 'floor', 'pass'] as const;
const table = new Table({ head: [...columns], style: { head: [], border: [] } });
for (const file of files) {
  const output = await run(`${folder}/${file}`, before === undefined ? [] : [before]);
  for (const line of output.split('\n').filter((text) => text.startsWith('{'))) {
    if (json) process.stdout.write(`${line}\n`);
    const row = JSON.parse(line) as Record<string, unknown>;
    table.push(columns.map((column) => format(row[column])));
  }
}
if (!json && files.length > 0) process.stdout.write(`${table.toString()}\n`);

function format(value: unknown): string {
  if (value === null) return '';
  return typeof value === 'number' ? value.toLocaleString('en', { maximumSignificantDigits: 4 }) : String(value);
}

function run(file: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
    });
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve(output) : reject(new Error(`${file} ended with code ${code}`))));
  });
}
