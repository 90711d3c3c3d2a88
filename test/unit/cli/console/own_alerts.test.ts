import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { ALERT_RULES } from '#cli/roles/console/alert_rules';
import type { MetricValue } from '#cli/roles/console/metric_reader';
import { OwnAlerts } from '#cli/roles/console/own_alerts';
import { assetPath } from '#kernel/project_root';
import type { ProcessingTime } from '#kernel/time';
import { durationMs } from '#kernel/times/duration';

// Alerts that the console judges by itself: the same as Prometheus' rules of these names, and none while nothing is wrong.

interface PrometheusRule {
  readonly alert: string;
  readonly for?: string;
  readonly labels: { readonly severity: string; readonly kind: string };
}
const { groups } = parse(readFileSync(assetPath('monitoring/prometheus/rules/alerts.yml'), 'utf8')) as {
  readonly groups: readonly { readonly rules: readonly PrometheusRule[] }[];
};
const rules = new Map(groups.flatMap((group) => group.rules).map((rule) => [rule.alert, rule]));

test.each(ALERT_RULES.map((rule) => [rule.name, rule] as const))('%s is judged as Prometheus has it', (name, rule) => {
  const known = rules.get(name) as PrometheusRule;
  expect(known.labels).toEqual({ severity: rule.severity, kind: rule.kind });
  expect(rule.forMs).toBe(known.for === undefined ? 0 : durationMs(known.for as '1m'));
  expect(readFileSync(assetPath(`docs/runbooks/${name}.md`), 'utf8')).not.toBe('');
});

/** Metrics and a clock that a test sets. */
function watched() {
  const values = new Map<string, readonly MetricValue[]>();
  let nowMs = 1_000_000;
  const alerts = new OwnAlerts(
    { read: async (name) => values.get(name) ?? [], clock: { now: () => nowMs as ProcessingTime } },
    ALERT_RULES,
  );
  return {
    set: (name: string, value: number, labels: MetricValue['labels'] = {}) =>
      void values.set(name, [{ labels, value }]),
    async after(ms: number) {
      nowMs += ms;
      await alerts.look();
      return alerts.list().map(({ name, state, summary }) => [name, state, summary]);
    },
  };
}

/** A value that breaks each rule: labels of a bad case for each metric. */
const BAD: Readonly<Record<string, MetricValue['labels']>> = {
  DependencyDown: { dependency: 'broker', problem: 'unreachable' },
  StoreReadOnly: { dependency: 'online store', problem: 'read_only' },
  StoreFull: { dependency: 'online store', problem: 'full' },
  JobDown: { kind: 'job', name: 'feature pipeline', state: 'down' },
  InputsDrifted: { kind: 'feature', model: 'm', version: '1' },
  PredictionsDrifted: { kind: 'prediction', model: 'm', version: '1' },
  WorkflowRunsFailing: { workflow: 'w', status: 'failed' },
};

test.each(ALERT_RULES.map((rule) => [rule.name, rule] as const))(
  '%s fires for its fault after its time, and ends with it',
  async (name, rule) => {
    const { set, after } = watched();
    const [good, bad] = rule.of === 'gauge' ? (rule.isBroken(0) ? [1, 0] : [0, 1_000]) : [7, 7 + rule.most + 1];
    set(rule.metric, good, BAD[name] ?? {});
    expect(await after(0)).toEqual([]);
    set(rule.metric, bad, BAD[name] ?? {});
    expect(await after(15_000)).toEqual([[name, rule.forMs === 0 ? 'firing' : 'pending', expect.any(String)]]);
    if (rule.of === 'gauge') {
      expect(await after(rule.forMs)).toEqual([[name, 'firing', expect.not.stringContaining('undefined')]]);
      set(rule.metric, good, BAD[name] ?? {});
      expect(await after(15_000)).toEqual([]);
    } else {
      // It stays as long as its window holds the growth, and no longer.
      expect(await after(rule.windowMs - 30_000)).toHaveLength(1);
      await after(20_000);
      expect(await after(20_000)).toEqual([]);
    }
  },
);

test('a platform that has nothing to do has no alert, whatever its counters were before it was looked at', async () => {
  const { set, after } = watched();
  for (const { metric, of } of ALERT_RULES)
    if (of === 'increase') set(metric, 1_000, { status: 'failed', workflow: 'w' });
  set('pipeline_watermark_lag_seconds', 86_400);
  set('feature_freshness_seconds', 86_400);
  for (let look = 0; look < 20; look += 1) expect(await after(15_000)).toEqual([]);
});

test('a counter that begins anew has grown by what it is', async () => {
  const { set, after } = watched();
  set('dead_letters_lost_total', 50);
  await after(0);
  set('dead_letters_lost_total', 2);
  expect(await after(15_000)).toEqual([['DeadLettersLost', 'firing', '2 dead letters could not be kept anywhere']]);
});
