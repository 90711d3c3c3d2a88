import { parse, stringify } from 'yaml';

/** Files of rules as one object of the Prometheus operator. */
export function prometheusRule(files: readonly string[]): string {
  const groups = files.flatMap((text) => (parse(text) as { groups: object[] }).groups);
  const rule = {
    ...{ apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule' },
    metadata: { name: 'headwater', labels: { 'app.kubernetes.io/part-of': 'headwater' } },
    spec: { groups },
  };
  return `# Written by npm run dashboards from monitoring/prometheus/rules.\n${stringify(rule, { lineWidth: 0 })}`;
}
