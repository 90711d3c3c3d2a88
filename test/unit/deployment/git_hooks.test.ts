import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';

let folder: string;
const git = (...args: readonly string[]) => {
  const identity = ['-c', 'user.name=test', '-c', 'user.email=test@example.com'];
  const { status, stderr } = spawnSync('git', [...identity, ...args], { cwd: folder, encoding: 'utf8' });
  return { status, stderr };
};
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hooks-'));
  git('init');
  for (const name of ['.githooks', 'biome.json', 'package.json']) {
    cpSync(assetPath(name), join(folder, name), { recursive: true });
  }
  symlinkSync(assetPath('node_modules'), join(folder, 'node_modules'));
  git('config', 'core.hooksPath', '.githooks');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  ['added', /too short[\s\S]*begins with a verb/],
  ['Added a door for events', /not "Added"/],
  ['Adding a door for events', /not "Adding"/],
  ['Add a door for events.', /without a full stop/],
  [`Add ${'a door for events and '.repeat(8)}more`, /120 at most/],
  ['Add a door for events\nand more', /an empty line/],
])('a commit "%s" is refused', (message, problem) => {
  const { status, stderr } = git('commit', '--allow-empty', '-m', message);
  expect([status, stderr]).toEqual([1, expect.stringMatching(problem)]);
});

test('what would fail in CI is refused before it is committed; what is well is taken', () => {
  writeFileSync(join(folder, 'bad.mjs'), 'var  unused = 1');
  git('add', 'bad.mjs');
  expect(git('commit', '-m', 'Add what lint refuses').status).toBe(1);
  writeFileSync(join(folder, 'bad.mjs'), 'export const used = 1;\n');
  git('add', 'bad.mjs');
  const { status, stderr } = git('commit', '-m', 'Add what lint takes\n\nAnd say why.');
  expect([status, stderr]).toEqual([0, expect.any(String)]);
}, 60_000);
