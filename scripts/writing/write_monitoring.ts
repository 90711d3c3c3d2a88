import { readFile, writeFile } from 'node:fs/promises';
import { assetPath } from '#kernel/project_root';
import { grafanaJson } from '#monitoring/grafana/dashboard';
import { DASHBOARDS } from '#monitoring/grafana/dashboards';
import { prometheusRule } from '#monitoring/prometheus/prometheus_rule';

// npm run dashboards: what Grafana is provisioned with, from the definitions, and the rules in the form of the Prometheus operator.
const RULES = ['recording.yml', 'alerts.yml'];
for (const dashboard of DASHBOARDS) {
  await write(`grafana/dashboards/${dashboard.uid}.json`, `${JSON.stringify(grafanaJson(dashboard), null, 2)}\n`);
}
const rules = RULES.map((name) => readFile(assetPath(`monitoring/prometheus/rules/${name}`), 'utf8'));
await write('prometheus/prometheus_rule.yaml', prometheusRule(await Promise.all(rules)));

async function write(path: string, text: string): Promise<void> {
  await writeFile(assetPath(`monitoring/${path}`), text);
  process.stdout.write(`monitoring/${path}\n`);
}
