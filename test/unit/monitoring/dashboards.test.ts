import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { grafanaJson } from '#monitoring/grafana/dashboard';
import { DASHBOARDS } from '#monitoring/grafana/dashboards';

test('the JSON that Grafana is given is what the definitions say: npm run dashboards', () => {
  const folder = assetPath('monitoring/grafana/dashboards');
  expect(readdirSync(folder).sort()).toEqual(DASHBOARDS.map(({ uid }) => `${uid}.json`).sort());
  for (const dashboard of DASHBOARDS) {
    const written = JSON.parse(readFileSync(`${folder}/${dashboard.uid}.json`, 'utf8')) as unknown;
    expect(written).toEqual(JSON.parse(JSON.stringify(grafanaJson(dashboard))));
  }
});

test('what the mission names is on the overview', () => {
  const [overview] = DASHBOARDS;
  const titles = overview?.rows.flatMap(({ panels }) => panels.map(({ title }) => title));
  expect(titles).toEqual(
    expect.arrayContaining([
      ...['Events a second', 'Feature latency', 'Cache hits', 'Requests that fail', 'Variants of experiments'],
      ...['Drifted columns', 'Prediction latency'],
    ]),
  );
});
