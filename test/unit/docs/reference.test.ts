import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { createProgram } from '#cli/commands/program';
import { assetPath } from '#kernel/project_root';
import { declaredMetrics, metricsIn } from '#scripts/checking/declared_metrics';
import {
  commandsReference,
  configurationReference,
  featureReference,
  metricsReference,
  REFERENCE_FOLDER,
} from '#scripts/writing/reference';
import { CATALOG } from '../../support/definitions/all_definitions.ts';

test.each([
  ['commands', () => commandsReference(createProgram())],
  ['configuration', configurationReference],
  ['features', () => featureReference(CATALOG)],
  ['metrics', metricsReference],
])('the reference of %s is what npm run reference writes', (name, written) => {
  expect(readFileSync(assetPath(`${REFERENCE_FOLDER}/${name}.md`), 'utf8')).toBe(written());
});

test('metrics are found wherever the code makes one, also in parts that no default configuration starts', () => {
  const names = declaredMetrics().map(({ name }) => name);
  expect(names.length).toBeGreaterThan(75);
  expect(names).toEqual(
    expect.arrayContaining(['audit_trail_anchored_entries', 'events_accepted_total', 'spool_bytes']),
  );
  const source = `
    import { Counter as Count, gaugeOf, type Registry } from '#monitoring/metrics';
    const made = (registry: Registry) => [
      new Count({ name: 'a_total', help: 'As', registers: [registry] }),
      gaugeOf(registry, { name: 'b', help: 'Bs', labelNames: [] }),
      new Map([['name', 'c']]),
    ];`;
  expect(metricsIn('a.ts', source)).toEqual([
    { name: 'a_total', type: 'counter', help: 'As' },
    { name: 'b', type: 'gauge', help: 'Bs' },
  ]);
  expect(() => metricsIn('a.ts', source.replace("'a_total'", 'nameOf(it)'))).toThrow(
    /a\.ts: a counter has no literal name/,
  );
});
