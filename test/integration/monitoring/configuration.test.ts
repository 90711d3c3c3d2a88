import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { assetPath } from '#kernel/project_root';
import { serviceAddress } from '../service_address.ts';

// What Prometheus and Alertmanager are given, checked by their own tools.

const PROMETHEUS = assetPath('monitoring/prometheus');

const tool = (name: string, ...args: readonly string[]) => {
  serviceAddress('TEST_PROMETHEUS');
  return promisify(execFile)(`/usr/bin/${name}`, [...args], { cwd: PROMETHEUS });
};

interface Rule {
  readonly alert?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}
const rulesOf = (file: string): readonly Rule[] =>
  (parse(readFileSync(`${PROMETHEUS}/rules/${file}`, 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
    ({ rules }) => rules,
  );
const alerts = rulesOf('alerts.yml');

test('promtool takes the configuration and the rules, amtool the routes', async () => {
  expect((await tool('promtool', 'check', 'config', 'prometheus.yml')).stdout).toContain('SUCCESS');
  const files = readdirSync(`${PROMETHEUS}/rules`).map((name) => `rules/${name}`);
  expect((await tool('promtool', 'check', 'rules', ...files)).stdout).toMatch(/SUCCESS: \d+ rules found/);
  const routes = assetPath('monitoring/alertmanager/alertmanager.yml');
  expect((await tool('amtool', 'check-config', routes)).stdout).toContain('SUCCESS');
});

test('each alert fires for its fault, and only then', async () => {
  expect((await tool('promtool', 'test', 'rules', 'tests/alerts_test.yml')).stdout).toContain('SUCCESS');
  interface Case {
    readonly alert_rule_test: readonly { readonly alertname: string; readonly exp_alerts: readonly unknown[] }[];
  }
  const { tests } = parse(readFileSync(`${PROMETHEUS}/tests/alerts_test.yml`, 'utf8')) as { tests: Case[] };
  const checks = tests.flatMap(({ alert_rule_test: of }) => of);
  for (const { alert } of alerts) {
    const own = checks.filter(({ alertname }) => alertname === alert);
    const firing = own.filter(({ exp_alerts: expected }) => expected.length > 0);
    expect([alert, firing.length > 0, own.length > firing.length]).toEqual([alert, true, true]);
  }
}, 300_000);

test('each alert says how bad it is, whom it concerns, and what to do', () => {
  expect(alerts.length).toBeGreaterThan(20);
  for (const { alert, labels, annotations } of alerts) {
    expect(labels?.severity).toMatch(/^(critical|warning|info)$/);
    expect(labels?.kind).toMatch(/^(failure|data_quality|model|infrastructure)$/);
    expect(annotations).toEqual({ summary: expect.any(String), runbook_url: `docs/runbooks/${alert}.md` });
    const runbook = assetPath(annotations?.runbook_url as string);
    expect([alert, existsSync(runbook)]).toEqual([alert, true]);
    expect(readFileSync(runbook, 'utf8')).toMatch(/## Look at\n[\s\S]+## Do\n/);
  }
  const named = new Set(alerts.map(({ alert }) => `${alert}.md`));
  expect(readdirSync(assetPath('docs/runbooks')).filter((name) => !named.has(name))).toEqual([]);
});

test('people are told by what it is: amtool says which receivers a set of labels reaches', async () => {
  const routes = assetPath('monitoring/alertmanager/alertmanager.yml');
  const told = async (...labels: readonly string[]) =>
    (await tool('amtool', 'config', 'routes', 'test', '--config.file', routes, ...labels)).stdout.trim();
  expect(await told('severity=critical', 'kind=failure')).toBe('on-call');
  expect(await told('severity=critical', 'kind=model')).toBe('on-call,model-team');
  expect(await told('severity=warning', 'kind=data_quality')).toBe('data-team');
  expect(await told('severity=warning', 'kind=model')).toBe('model-team');
  expect(await told('severity=warning', 'kind=infrastructure')).toBe('chat');
});
