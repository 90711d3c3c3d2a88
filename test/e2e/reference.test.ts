import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ROLES } from '#cli/terminal/choices';
import { assetPath } from '#kernel/project_root';
import { metricsReference, REFERENCE_FOLDER } from '#scripts/reference';
import { PlatformProcess } from '../support/platform_process.ts';

const directory = mkdtempSync(join(tmpdir(), 'reference-'));
let platform: PlatformProcess;
beforeAll(async () => {
  platform = await PlatformProcess.start(directory);
}, 90_000);
afterAll(async () => {
  await platform?.terminate();
  rmSync(directory, { recursive: true, force: true });
});

test('the reference of metrics is what a platform tells: npm run reference writes it', async () => {
  const texts = ROLES.map(async (role) => (await fetch(`${platform.urls[role]}/metrics`)).text());
  const written = readFileSync(assetPath(`${REFERENCE_FOLDER}/metrics.md`), 'utf8');
  expect(written).toBe(metricsReference(await Promise.all(texts)));
});
