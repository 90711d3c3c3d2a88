import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';

// The short form of `npm run test:chaos -- platform`: a minute of faults on single parts, with another seed each time. The seed is printed: run it again with --seed.

const MINUTES = '1';
const LEAST_ROUNDS = 5;

test('after faults of every kind, what was accepted is found once, or the start is refused with a name', async () => {
  const seed = String(Date.now() % 1_000_000);
  const args = ['platform', '--quick', '--seed', seed, '--faults', '60', '--minutes', MINUTES];
  const env = { ...process.env, NODE_OPTIONS: '' };
  const run = promisify(execFile)(process.execPath, [assetPath('dist/scripts/test_chaos.js'), ...args], { env });
  const { stdout } = await run.catch((error: { readonly stdout: string }) => error);
  const total = /^all +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +\d+$/m.exec(stdout)?.slice(1).map(Number) ?? [];
  const [rounds = 0, accepted = 0, found = 0, lost, doubled, , problems] = total;
  expect([stdout, lost, doubled, problems]).toEqual([stdout, 0, 0, 0]);
  expect(rounds).toBeGreaterThanOrEqual(LEAST_ROUNDS);
  expect(accepted).toBeGreaterThan(0);
  expect(found).toBeGreaterThan(0);
}, 240_000);
