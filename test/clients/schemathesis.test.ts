import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createOfflineDatabase, type OfflineDatabase } from '#cli/parts/offline_database';
import { assetPath } from '#kernel/project_root';
import { silentLogger } from '#monitoring/log';
import { virtualEnvironment } from '#registry/trainers/python_environment';
import { type Listeners, startListeners } from '../support/hostile/listeners.ts';
import { byForm } from '../support/jest/forms.ts';
import { tinyModel } from '../support/platforms/tiny_model.ts';
import { serveTiny, type TinyServing } from '../support/platforms/tiny_serving.ts';

// Schemathesis makes requests out of the OpenAPI document, good ones and bad ones, and holds the answers against it.

const CHECKS = [
  ...['not_a_server_error', 'status_code_conformance', 'content_type_conformance', 'response_schema_conformance'],
  'response_headers_conformance',
];
let folder: string;
let offline: OfflineDatabase;
let tiny: TinyServing;
let listeners: Listeners;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'schemathesis-'));
  offline = createOfflineDatabase(
    { log: silentLogger, views: [] },
    { kind: 'pglite', directory: join(folder, 'offline') },
  );
  await offline.start(new AbortController().signal);
  tiny = await serveTiny(
    {},
    async (registry) => {
      await registry.register({ name: 'tiny', package: tinyModel(3), metrics: {}, params: {} });
    },
    offline,
  );
  await tiny.service.start();
  listeners = await startListeners();
}, 240_000);
afterAll(async () => {
  await listeners.stop();
  await tiny.stop();
  await offline.stop();
  rmSync(folder, { recursive: true, force: true });
});

test.each([
  ['gateway', () => listeners.gateway.url],
  ['feature API', () => listeners.features.url],
  ['serving', () => tiny.service.url],
])(
  '%s: no answer that is the server’s fault, and none that the document does not know',
  async (_, urlOf) => {
    const requirements = assetPath('test/support/guests/schemathesis_requirements.txt');
    const python = await virtualEnvironment(requirements, { onLine: () => {} });
    const args = ['run', `${urlOf()}/openapi.json`, '--checks', CHECKS.join(','), '--seed', '7'];
    const settings = [
      '--max-examples',
      byForm({ short: '15', long: '60' }),
      '--phases',
      'examples,coverage,fuzzing',
      '--no-color',
      '--warnings',
      'off',
    ];
    const run = promisify(execFile)(join(dirname(python), 'schemathesis'), [...args, ...settings], {
      ...{ cwd: folder, maxBuffer: 64 * 1_024 * 1_024, timeout: 400_000 },
      env: { ...process.env, PYTHONPATH: assetPath('test/support/guests'), SCHEMATHESIS_HOOKS: 'schemathesis_hooks' },
    });
    const said = await run.then(
      ({ stdout }) => ({ failed: false, stdout }),
      ({ stdout }: { stdout: string }) => ({ failed: true, stdout: stdout.slice(-8_000) }),
    );
    expect(said.failed ? said.stdout : '').toBe('');
    expect(said.stdout).toMatch(/\d+ passed/);
  },
  600_000,
);
