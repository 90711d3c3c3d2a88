import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { PORTS, ROLES } from '#cli/terminal/choices';
import { freePort } from '#scripts/services/managed_process';
import { runCommand } from '../../support/platforms/command_line.ts';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';

const directory = mkdtempSync(join(tmpdir(), 'check-'));
let platform: PlatformProcess;
let ports: Readonly<Record<string, string>>;
const KEYS = { GATEWAY_API_KEYS: 'a-key-of-sixteen-or-more', API_KEYS: 'another-key-of-sixteen' };
beforeAll(async () => {
  platform = await PlatformProcess.start(join(directory, 'data'), KEYS);
  ports = Object.fromEntries(ROLES.map((role) => [PORTS[role].variable, new URL(platform.urls[role]).port]));
}, 90_000);
afterAll(async () => {
  await platform?.terminate();
  rmSync(directory, { recursive: true, force: true });
});

interface Line {
  readonly check: string;
  readonly passed: boolean;
}
const check = async (env: Readonly<Record<string, string>>) => {
  const { code, stdout } = await runCommand(directory, ['check', '--json'], { ...KEYS, ...ports, ...env });
  const lines = JSON.parse(stdout) as Line[];
  return { code, all: lines.length, failed: lines.filter(({ passed }) => !passed).map((line) => line.check) };
};

test('twelve categories of a platform that runs; what is broken is named', async () => {
  expect(await check({})).toEqual({ code: 0, all: 12, failed: [] });
  const gone = { [PORTS.features.variable]: String(await freePort()) };
  expect(await check(gone)).toEqual({ code: 1, all: 12, failed: ['features', 'vectors', 'monitoring'] });
  const stranger = { API_KEYS: 'a-key-that-nobody-knows' };
  expect(await check(stranger)).toEqual({
    code: 1,
    all: 12,
    failed: ['models', 'predictions', 'batches', 'explanations', 'console'],
  });
}, 120_000);
