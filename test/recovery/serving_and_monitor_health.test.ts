import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { assetPath } from '#kernel/project_root';
import { mlflowConfigSchema } from '#registry/mlflow/config';
import { MlflowRegistry } from '#registry/mlflow/mlflow_registry';
import { fraudDetectorVersion } from '../support/platforms/test_project.ts';
import { WatchedPlatform, type WatchedRole } from '../support/platforms/watched_platform.ts';
import { until } from '../support/servers/redis_servers.ts';

// Real servers are stopped beneath the roles serving and monitor: each is named with its reason by every role of the process, models answer
// throughout, and there is a metric, an alert and a runbook for each.

/** The registry is asked every 15 s only. */
const AWAY_MS = 45_000;
const ROLES: readonly WatchedRole[] = ['gateway', 'pipeline', 'features', 'serving', 'monitor'];
const DEPENDENCIES = ['broker', 'disk', 'offline store', 'online store', 'registry'];
const JOBS = ['feature pipeline', 'monitoring of models', 'prediction log'];

let watched: WatchedPlatform;
beforeAll(async () => {
  watched = await WatchedPlatform.start(ROLES, async (url) => {
    const registry = new MlflowRegistry(mlflowConfigSchema.parse({ kind: 'mlflow', trackingUri: url }));
    const { version } = await registry.register(await fraudDetectorVersion());
    await registry.transition('fraud_detector', version, 'Production', { by: 'test', reason: 'first start' });
  });
}, 300_000);
afterAll(() => watched?.stop(), 60_000);

const answers: number[] = [];
/** Servers on their way back: also when a test has failed, the next one begins with all of them. */
const onTheirWay: Promise<void>[] = [];
afterEach(async () => {
  await Promise.all(onTheirWay.splice(0));
}, 120_000);

async function predict(): Promise<void> {
  const response = await fetch(`${watched.platform.urls.serving}/predict`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model_name: 'fraud_detector', features: { amount: 10, merchant_category: 'grocery' } }),
  });
  await response.arrayBuffer();
  answers.push(response.status);
}

/** Waits until nothing is wrong. */
async function isWell(role: WatchedRole): Promise<void> {
  await until(async () => {
    await predict();
    const report = await watched.ready(role);
    return report.code === 200 && report.status === 'ready';
  }, 90_000).catch(async () => {
    const report = JSON.stringify(await watched.ready(role));
    throw new Error(`${role}: ${report}\n${watched.platform.output.slice(-2_000)}`);
  });
}

const rules = parse(readFileSync(assetPath('monitoring/prometheus/rules/alerts.yml'), 'utf8')) as {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert?: string;
      readonly expr: string;
      readonly annotations?: { readonly runbook_url?: string };
    }[];
  }[];
};

/** The rule that looks at a metric, with a runbook that exists. */
function expectAlert(name: string, metric: string): void {
  const rule = rules.groups.flatMap((group) => group.rules).find(({ alert }) => alert === name);
  expect(rule?.expr).toContain(metric);
  expect(readFileSync(assetPath(rule?.annotations?.runbook_url as string), 'utf8')).toContain(name);
}

test('both roles name each dependency and each job of the process', async () => {
  await predict();
  expect(answers).toEqual([200]);
  for (const role of ['serving', 'monitor'] as const) {
    await isWell(role);
    const report = await watched.ready(role);
    expect(Object.keys(report.dependencies)).toEqual(expect.arrayContaining(DEPENDENCIES));
    expect(Object.keys(report.jobs)).toEqual(expect.arrayContaining(JOBS));
  }
}, 120_000);

test.each([
  ['Kafka', 'broker', 'kafka', { monitorIsReady: false, job: 'monitoring of models' }],
  ['PostgreSQL', 'offline store', 'postgres', { monitorIsReady: false, job: 'prediction log' }],
  ['Redis', 'online store', 'redis', { monitorIsReady: true, job: undefined }],
  ['MLflow', 'registry', 'mlflow', { monitorIsReady: true, job: undefined }],
] as const)(
  '%s is stopped: named with its reason, models answer, and all is well when it is back',
  async (_, dependency, server, { monitorIsReady, job }) => {
    answers.length = 0;
    const away = (watched.servers[server] as { restart(downMs: number): Promise<void> }).restart(AWAY_MS);
    onTheirWay.push(away);
    const named = (role: WatchedRole) => async () => {
      // Predictions go on, so that their log has something to write.
      await predict();
      const report = await watched.ready(role);
      const { status, reason } = report.dependencies[dependency] ?? {};
      return status === 'down' && (reason ?? '') !== '';
    };
    for (const role of ['serving', 'monitor'] as const) {
      await until(named(role), AWAY_MS - 5_000);
      const report = await watched.ready(role);
      const isReady = role === 'serving' || monitorIsReady;
      expect([role, report.code, report.status]).toEqual([
        role,
        isReady ? 200 : 503,
        isReady ? 'degraded' : 'not ready',
      ]);
      if (!isReady) expect(report.reason).toMatch(new RegExp(`${dependency} is down: .`));
      // All roles are in one process: its metrics are on every page but the monitor's.
      expect(await watched.metricsOf('serving')).toMatch(
        new RegExp(`dependency_problem\\{dependency="${dependency}",problem="\\w+"\\} 1`),
      );
    }
    expectAlert('DependencyDown', 'dependency_problem');
    if (job !== undefined) {
      await until(async () => {
        await predict();
        const { status, reason } = (await watched.ready('serving')).jobs[job] ?? {};
        return status !== 'up' && (reason ?? '') !== '';
      }, 20_000);
      expect(await watched.metricsOf('serving')).toMatch(
        new RegExp(`health_state\\{kind="job",name="${job}",state="(down|degraded)"\\} 1`),
      );
      expectAlert('JobDown', 'health_state');
    }
    expect(new Set(answers)).toEqual(new Set([200]));
    await away;
    for (const role of ['serving', 'monitor'] as const) await isWell(role);
    expect(await watched.metricsOf('serving')).not.toMatch(
      new RegExp(`dependency_problem\\{dependency="${dependency}",problem="\\w+"\\} 1`),
    );
  },
  300_000,
);
