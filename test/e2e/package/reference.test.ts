import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ROLES } from '#cli/terminal/choices';
import { assetPath } from '#kernel/project_root';
import { declaredMetrics } from '#scripts/checking/declared_metrics';
import { REFERENCE_FOLDER } from '#scripts/writing/reference';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';

const directory = mkdtempSync(join(tmpdir(), 'reference-'));
let platform: PlatformProcess;
beforeAll(async () => {
  platform = await PlatformProcess.start(directory);
}, 90_000);
afterAll(async () => {
  await platform?.terminate();
  rmSync(directory, { recursive: true, force: true });
});

/** Made by the runtime: which exist depends on it. */
const OF_THE_RUNTIME = /^(nodejs|process)_/;

test('the reference lists every metric that a platform reports, with its type and help', async () => {
  const texts = await Promise.all(ROLES.map(async (role) => (await fetch(`${platform.urls[role]}/metrics`)).text()));
  const reported = new Map<string, Record<string, string>>();
  for (const [, kind = '', name = '', rest = ''] of texts.join('\n').matchAll(/^# (HELP|TYPE) (\S+) (.*)$/gm))
    reported.set(name, { ...reported.get(name), [kind]: rest });
  const declared = new Map(declaredMetrics().map((metric) => [metric.name, metric]));
  const own = [...reported].filter(([name]) => !OF_THE_RUNTIME.test(name));
  expect(own.length).toBeGreaterThan(50);
  for (const [name, { TYPE: type, HELP: help }] of own) expect(declared.get(name)).toEqual({ name, type, help });
  const page = readFileSync(assetPath(`${REFERENCE_FOLDER}/metrics.md`), 'utf8');
  expect(own.filter(([name]) => !page.includes(`\`${name}\``))).toEqual([]);
});
