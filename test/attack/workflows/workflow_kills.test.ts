import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { byForm } from '../../support/jest/forms.ts';

// The short form of `npm run test:chaos -- workflows`, with another seed each time, which is printed.

test.each([
  [
    'postgres',
    ['--kills', byForm({ short: '15', long: '40' }), '--runs', byForm({ short: '12', long: '30' }), '--minutes', '2'],
  ],
  [
    'pglite',
    ['--kills', byForm({ short: '2', long: '5' }), '--runs', byForm({ short: '3', long: '6' }), '--minutes', '3'],
  ],
])(
  'workers that are killed around their commits, on %s: every run ends as the oracle says, no statement takes effect twice',
  async (database, sizes) => {
    const seed = String(Date.now() % 1_000_000);
    const args = ['workflows', '--database', database, '--seed', seed, ...sizes];
    const env = { ...process.env, NODE_OPTIONS: '' };
    const run = promisify(execFile)(process.execPath, [assetPath('dist/scripts/test_chaos.js'), ...args], { env });
    const { stdout } = await run.catch((error: { readonly stdout: string }) => error);
    const [, kills, problems] = /^all: (\d+) kills,.* (\d+) problems$/m.exec(stdout) ?? [];
    expect([stdout, problems]).toEqual([stdout, '0']);
    expect(Number(kills)).toBeGreaterThan(0);
  },
  400_000,
);
