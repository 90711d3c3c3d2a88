import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { serviceAddress } from '../integration/service_address.ts';
import { byForm } from '../support/jest/forms.ts';

const directories: string[] = [];
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

interface Demo {
  readonly code: number | null;
  readonly summary: Record<string, number>;
  readonly output: string;
}

/** A demo that hangs is ended, and says where it stood. */
const LIMIT_MS = 400_000;

function runDemo(env: Readonly<Record<string, string>>): Promise<Demo> {
  const directory = mkdtempSync(join(tmpdir(), 'demo-'));
  directories.push(directory);
  const ports = { GATEWAY_PORT: '0', PIPELINE_PORT: '0', FEATURE_API_PORT: '0', API_PORT: '0' };
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [assetPath('dist/cli/headwater.js'), 'scripts', 'run', 'demo'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '', ...ports, DATA_DIRECTORY: join(directory, 'data'), ...env },
    });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
    });
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString('utf8');
    });
    const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(limit);
      const last = output.trim().split('\n').at(-1) ?? '';
      try {
        resolve({ code, summary: JSON.parse(last) as Record<string, number>, output });
      } catch {
        reject(
          new Error(
            `the demo's last line is no JSON (exit code ${code}; ended after ${LIMIT_MS} ms if null):\n${output.slice(-1_500)}\n${errors.slice(-3_000)}`,
          ),
        );
      }
    });
  });
}

function expectMainJob({ code, summary }: Demo): void {
  expect(code).toBe(0);
  expect(summary).toMatchObject({ failed_requests: 0 });
  expect(summary.events).toBeGreaterThanOrEqual(20_000);
  expect(summary.events).toBe((summary.dead_lettered as number) + (summary.accepted as number));
  expect(summary.invalid).toBeGreaterThan(50);
  expect(summary.late).toBeGreaterThan(0);
  expect(summary.feature_rows).toBeGreaterThan(20_000);
  expect(summary.predictions).toBeGreaterThan(500);
  expect(summary.auc_v1).toBeGreaterThan(0.85);
  expect(summary.auc_v2).toBeGreaterThan(0.8);
  expect(summary.e2e_p99_ms).toBeGreaterThan(0);
}

const SETTINGS: Readonly<Record<string, () => Readonly<Record<string, string>>>> = {
  embedded: () => ({}),
  services: () => {
    const postgres = new URL(serviceAddress('TEST_POSTGRES_URL'));
    const redis = new URL(serviceAddress('TEST_REDIS_URL'));
    return {
      KAFKA_BROKERS: serviceAddress('TEST_KAFKA_BROKERS'),
      REDIS_HOST: redis.hostname,
      REDIS_PORT: redis.port,
      DATABASE_HOST: postgres.hostname,
      DATABASE_PORT: postgres.port,
      DATABASE_USER: postgres.username,
      DATABASE_NAME: postgres.pathname.slice(1),
      MLFLOW_TRACKING_URI: serviceAddress('TEST_MLFLOW_URL'),
    };
  },
};

// The same job, by configuration alone. In the short form demo_with_view.test.ts runs the embedded one, with 5,000 events.
test.each(byForm({ short: ['services'], long: ['embedded', 'services'] }))(
  'the main job in the environment %s',
  async (name) => {
    expectMainJob(await runDemo({ ENVIRONMENT: name, ...SETTINGS[name]?.() }));
  },
  420_000,
);
