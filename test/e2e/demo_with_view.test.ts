import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { runCommand } from '../support/platforms/command_line.ts';
import { ProjectCopy } from '../support/platforms/project_copy.ts';

// A user's first step: the view of the README's example, added as the README says, and the demo again.

const directory = mkdtempSync(join(tmpdir(), 'demo-view-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The project of this repository with the README's view. */
function addView(): ProjectCopy {
  const project = new ProjectCopy(directory);
  const readme = readFileSync(assetPath('README.md'), 'utf8');
  const [, code = ''] = /```ts\n\/\/ features\/spending\.ts\n([\s\S]*?)```/.exec(readme) ?? [];
  expect(code).toContain('export const spendingView');
  writeFileSync(join(directory, 'examples/fraud/features/spending.ts'), code);
  return project;
}

test('the demo counts events, not computations: with another view of the same events its numbers are the same', async () => {
  const project = addView();
  mkdirSync(join(directory, 'data'));
  const ports = { GATEWAY_PORT: '0', PIPELINE_PORT: '0', FEATURE_API_PORT: '0', API_PORT: '0', MONITOR_PORT: '0' };
  const child = spawn(
    process.execPath,
    [assetPath('dist/cli/headwater.js'), 'scripts', 'run', 'demo', '--events', '5000'],
    {
      cwd: directory,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        ...project.env,
        ENVIRONMENT: 'embedded',
        NODE_OPTIONS: '',
        ...ports,
        DATA_DIRECTORY: join(directory, 'data'),
      },
    },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect([code, code === 0 ? '' : output]).toEqual([0, '']);
  const summary = JSON.parse(output.trim().split('\n').at(-1) ?? '') as Record<string, number>;
  expect(summary).toMatchObject({ events: 5_000, failed_requests: 0 });
  expect((summary.accepted ?? 0) + (summary.dead_lettered ?? 0)).toBe(5_000);
}, 300_000);

test('a demo with a folder that holds data is refused, and the data stays', async () => {
  const data = join(directory, 'kept');
  mkdirSync(data);
  writeFileSync(join(data, 'rows'), 'mine');
  const { code, stderr } = await runCommand(directory, ['scripts', 'run', 'demo'], { DATA_DIRECTORY: data });
  expect([code, stderr]).toEqual([1, expect.stringContaining('holds data, and a demo begins with an empty folder')]);
  expect(readFileSync(join(data, 'rows'), 'utf8')).toBe('mine');
}, 60_000);
