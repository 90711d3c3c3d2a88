import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { pythonTool } from '../support/guests/python_package.ts';
import { PlatformProcess } from '../support/platforms/platform_process.ts';
import { ProjectCopy } from '../support/platforms/project_copy.ts';

// The Python package: checked, built as a wheel, and the installed wheel against a platform.

let folder: string;
let wheel: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'python-package-'));
  await pythonTool(['build', '--no-isolation', '--outdir', join(folder, 'dist')]);
  wheel = join(folder, 'dist', readdirSync(join(folder, 'dist')).find((name) => name.endsWith('.whl')) ?? '');
}, 600_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('types, style and metadata hold', async () => {
  await pythonTool(['ruff', 'check', '.']);
  await pythonTool(['ruff', 'format', '--check', '.']);
  expect(await pythonTool(['mypy'], { MYPYPATH: 'src' })).toMatch(/Success: no issues/);
  const checked = await pythonTool([
    'twine',
    'check',
    '--strict',
    ...readdirSync(join(folder, 'dist')).map((name) => join(folder, 'dist', name)),
  ]);
  expect(checked.match(/PASSED/g)).toHaveLength(2);
}, 300_000);

test('the wheel is pure Python, has its types, and depends on urllib3 alone', async () => {
  expect(wheel).toMatch(/headwater-[\d.]+-py3-none-any\.whl$/);
  const listed = await pythonTool(['zipfile', '-l', wheel]);
  expect(listed).toContain('headwater/py.typed');
  await pythonTool(['pip', 'install', '-q', '--no-deps', '--target', join(folder, 'installed'), wheel]);
  const metadata = await pythonTool(['pip', 'show', 'headwater'], { PYTHONPATH: join(folder, 'installed') });
  expect(metadata).toMatch(/^Requires: urllib3$/m);
}, 120_000);

test('pytest passes with the installed wheel against a platform', async () => {
  const project = new ProjectCopy(join(folder, 'project'));
  cpSync(assetPath('test/data/python_client/profile.ts'), join(project.folder, 'examples/fraud/features/profile.ts'));
  const platform = await PlatformProcess.start(join(folder, 'data'), project.env);
  try {
    const printed = await pythonTool(['pytest', '-q', '-p', 'no:cacheprovider'], {
      ...{ PYTHONPATH: join(folder, 'installed'), PYTHONDONTWRITEBYTECODE: '1' },
      ...{ HEADWATER_GATEWAY_URL: platform.urls.gateway, HEADWATER_FEATURES_URL: platform.urls.features },
      HEADWATER_SERVING_URL: platform.urls.serving,
    });
    expect(printed).toMatch(/^\d+ passed/m);
    expect(printed).not.toMatch(/skipped|failed/);
  } finally {
    await platform.terminate();
  }
}, 300_000);
