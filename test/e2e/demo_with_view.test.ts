import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { transformSync } from '@swc/core';
import { assetPath, projectRoot } from '#kernel/project_root';

// A user's first step: the view of the README's example, added as the README says, and the demo again.

const directory = mkdtempSync(join(tmpdir(), 'demo-view-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A build of the platform with the README's view in its catalog. */
function buildWithView(): void {
  for (const name of ['configs', 'feature_store', 'registry', 'monitoring', 'node_modules', 'serving']) {
    symlinkSync(join(projectRoot, name), join(directory, name));
  }
  cpSync(assetPath('package.json'), join(directory, 'package.json'));
  cpSync(assetPath('dist'), join(directory, 'dist'), { recursive: true });
  const readme = readFileSync(assetPath('README.md'), 'utf8');
  const [, code = ''] = /```ts\n\/\/ feature_store\/views\/spending\.ts\n([\s\S]*?)```/.exec(readme) ?? [];
  expect(code).toContain('export const spendingView');
  const views = join(directory, 'dist/feature_store/views');
  const { code: compiled } = transformSync(code, { jsc: { parser: { syntax: 'typescript' }, target: 'es2023' } });
  writeFileSync(join(views, 'spending.js'), compiled.replaceAll(/(from ["']\.\/\w+)\.ts/g, '$1.js'));
  const catalog = readFileSync(join(views, 'catalog.js'), 'utf8');
  const added = catalog.replace(/(VIEWS = \[)/, '$1spendingView, ');
  expect(added).not.toBe(catalog);
  writeFileSync(join(views, 'catalog.js'), `import { spendingView } from './spending.js';\n${added}`);
}

test('the demo counts events, not computations: with another view of the same events its numbers are the same', async () => {
  buildWithView();
  mkdirSync(join(directory, 'data'));
  const ports = { GATEWAY_PORT: '0', PIPELINE_PORT: '0', FEATURE_API_PORT: '0', API_PORT: '0', MONITOR_PORT: '0' };
  const child = spawn(process.execPath, [join(directory, 'dist/cli/headwater.js'), 'demo', '--events', '5000'], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      ENVIRONMENT: 'embedded',
      NODE_OPTIONS: '',
      ...ports,
      DATA_DIRECTORY: join(directory, 'data'),
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect([code, code === 0 ? '' : output]).toEqual([0, '']);
  const summary = JSON.parse(output.trim().split('\n').at(-1) ?? '') as Record<string, number>;
  expect(summary).toMatchObject({ events: 5_000, failed_requests: 0 });
  expect((summary.accepted ?? 0) + (summary.dead_lettered ?? 0)).toBe(5_000);
}, 300_000);
