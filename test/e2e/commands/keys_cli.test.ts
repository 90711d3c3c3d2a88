import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { runCommand } from '../../support/platforms/command_line.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';

// Keys of a platform that runs, in embedded mode, changed by commands beside it.

let folder: string;
let platform: PlatformProcess;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'keys-cli-'));
  const hosts = ['GATEWAY', 'FEATURE_API', 'API', 'PIPELINE', 'MONITOR'].map((role) => [`${role}_HOST`, '0.0.0.0']);
  platform = await PlatformProcess.start(join(folder, 'data'), Object.fromEntries(hosts));
}, 90_000);
afterAll(async () => {
  await platform?.terminate();
  rmSync(folder, { recursive: true, force: true });
});

const keys = (...args: readonly string[]) => runCommand(folder, ['keys', ...args]);

const statusOf = async (role: 'features' | 'serving' | 'gateway', path: string, key?: string): Promise<number> => {
  const headers: Record<string, string> = key === undefined ? {} : { 'x-api-key': key };
  return (await fetch(`${platform.urls[role]}${path}`, { headers })).status;
};

/** Within the second that the platform takes. */
async function until(wanted: number, ask: () => Promise<number>): Promise<void> {
  const giveUpAt = Date.now() + 5_000;
  while ((await ask()) !== wanted) {
    if (Date.now() > giveUpAt) expect(await ask()).toBe(wanted);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test('without keys every listener is bound to this machine, and its log has the reason', async () => {
  // A line may come through the pipe a moment after its listener answers.
  await until(5, async () => platform.output.match(/http\.bound_to_loopback/g)?.length ?? 0);
  expect(platform.output).toMatch(/no key is configured: create one \(headwater keys create\)/);
  for (const url of Object.values(platform.urls)) expect(new URL(url).hostname).toBe('127.0.0.1');
});

test('keys are made, listed, rotated, changed and revoked while the platform runs', async () => {
  expect(await statusOf('serving', '/models')).toBe(200);
  const made = await keys('create', 'shop', '--scope', 'predict:fraud_detector', 'features:fraud', '--expires', '90d');
  const key = made.stdout.trim();
  expect(key).toMatch(/^hw_[\w-]{43}$/);
  expect(made.stderr).toMatch(/it is not shown again/);
  await until(401, () => statusOf('serving', '/models'));
  await until(401, () => statusOf('features', '/views'));
  await until(404, () => statusOf('gateway', '/nothing', key));
  expect(await statusOf('serving', '/models', key)).toBe(200);
  expect(await statusOf('serving', '/console/api/dead-letters', key)).toBe(403);
  expect(await statusOf('features', '/views', key)).toBe(200);

  const rotated = (await keys('rotate', 'shop')).stdout.trim();
  await until(200, () => statusOf('serving', '/models', rotated));
  expect(await statusOf('serving', '/models', key)).toBe(200);

  expect(await keys('change', 'shop', '--quota', '2/1h', '--scope', 'predict')).toMatchObject({ code: 0 });
  await until(429, () => statusOf('serving', '/models', rotated));

  const listed = await keys('list', '--json');
  expect(JSON.parse(listed.stdout)[0]).toMatchObject({
    ...{ name: 'shop', scopes: ['predict'], state: 'valid', quota: { requests: 2, windowMs: 3_600_000 } },
    previousValidUntil: [expect.any(String)],
  });
  expect(listed.stdout).not.toMatch(/hw_|sha256/);

  expect(await keys('revoke', 'shop')).toMatchObject({ code: 0, stderr: expect.stringMatching(/is revoked/) });
  await until(401, () => statusOf('serving', '/models', rotated));
  expect(await statusOf('serving', '/models', key)).toBe(401);
}, 60_000);

test('what cannot be is said: scopes, quotas, keys that do not exist', async () => {
  for (const [args, code, problem] of [
    [['create', 'x', '--scope', 'everything'], 2, /"everything" is no scope: an action \(ingest/],
    [['create', 'x', '--scope', 'ingest', '--quota', 'many'], 2, /--quota many is no quota/],
    [['create', 'x', '--scope', 'ingest', '--expires', 'soon'], 2, /--expires soon is no duration/],
    [['rotate', 'nobody'], 1, /key "nobody": there is no such key/],
    [['revoke', 'shop'], 1, /it is revoked/],
    [['change', 'nobody'], 2, /nothing to change/],
  ] as const) {
    expect(await keys(...args)).toMatchObject({ code, stdout: '', stderr: expect.stringMatching(problem) });
  }
  expect((await keys('scopes')).stdout).toMatch(/predict:….*MODEL/);
}, 60_000);
