import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from '@jest/globals';
import { projectRoot } from '#kernel/project_root';
import { readSources } from '../../support/import_graph.ts';

const PRODUCT = [
  ...['kernel', 'configs', 'monitoring', 'storage', 'connectors', 'registry'],
  ...['feature_store', 'pipelines', 'serving', 'workflows', 'client', 'cli'],
];
/** A folder with more files is described. */
const FEW_FILES = 3;
const LONGEST_LINES = 40;
const MOST_FILES = 15;
const GENERATED = new Set(['pipelines/proto']);
/** Examples of users' definitions, on their way out of the product. */
const NOT_YET = new Set<string>();

test('each folder says what it is, what it imports and how to add one more', () => {
  const counts = new Map<string, number>();
  for (const file of readSources(projectRoot, PRODUCT).keys()) {
    counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
  }
  const described = [...counts].filter(([folder, files]) => files > FEW_FILES && !NOT_YET.has(folder));
  expect(described.length).toBeGreaterThan(40);
  const problems = described.flatMap(([folder]) => {
    const file = join(projectRoot, folder, 'README.md');
    if (!existsSync(file)) return [`${folder} has no README.md`];
    const text = readFileSync(file, 'utf8');
    const parts = [`# ${folder}\n`, '**Imports**:', '**To add**'].filter((part) => !text.includes(part));
    const long =
      text.split('\n').length > LONGEST_LINES ? [`${folder}/README.md is longer than ${LONGEST_LINES} lines`] : [];
    return [...parts.map((part) => `${folder}/README.md lacks "${part.trim()}"`), ...long];
  });
  expect(problems).toEqual([]);
});

test('no folder has more files than one takes in at a glance', () => {
  const counts = new Map<string, number>();
  for (const file of readSources(projectRoot, [...PRODUCT, 'bench', 'examples', 'scripts', 'test']).keys()) {
    counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
  }
  const crowded = [...counts].filter(([folder, files]) => files > MOST_FILES && !GENERATED.has(folder));
  expect(crowded).toEqual([]);
});

test('files that a README names exist', () => {
  const folders = new Set([...readSources(projectRoot, PRODUCT).keys()].map((file) => dirname(file)));
  const missing = [...folders].flatMap((folder) => {
    const readme = join(projectRoot, folder, 'README.md');
    if (!existsSync(readme)) return [];
    const names = [...readFileSync(readme, 'utf8').matchAll(/`([\w./-]+\.(?:ts|tsx|py|yaml))`/g)];
    return names
      .map(([, name]) => name as string)
      .filter((name) => ![folder, dirname(folder), ''].some((base) => existsSync(join(projectRoot, base, name))))
      .map((name) => `${folder}: ${name}`);
  });
  expect(missing).toEqual([]);
});
