import { expect, test } from '@jest/globals';
import { projectRoot } from '#kernel/project_root';
import { circlesIn, foldersOf, importsOf, readSources } from '../../support/import_graph.ts';

const PRODUCT = [
  'kernel',
  'workflows',
  'configs',
  'monitoring',
  'storage',
  'connectors',
  'registry',
  'feature_store',
  'pipelines',
  'serving',
  'client',
  'cli',
];

test('neither files nor folders import each other in a circle, types included', () => {
  const imports = importsOf(readSources(projectRoot, PRODUCT));
  expect(imports.size).toBeGreaterThan(300);
  const circles = foldersOf(imports.keys()).flatMap((folder) =>
    circlesIn(folder, imports).map((circle) => `${folder}: ${circle.join(', ')}`),
  );
  expect(circles).toEqual([]);
});

test('a circle of types and a circle of folders are found', () => {
  const imports = importsOf(
    new Map([
      ['a/one.ts', "import type { Two } from './two.ts';"],
      ['a/two.ts', "import {\n  type One,\n} from './one.ts';\nimport { fs } from 'node:fs';"],
      ['b/low/file.ts', "import { x } from '#b/high/other';"],
      ['b/high/file.ts', "const x = await import('../low/deep/leaf.ts');"],
      ['b/high/other.ts', ''],
      ['b/low/deep/leaf.ts', ''],
      ['c/alone.ts', "import '#b/high/file';"],
    ]),
  );
  const found = foldersOf(imports.keys()).flatMap((folder) => circlesIn(folder, imports).map((each) => [folder, each]));
  expect(found).toEqual([
    ['a', ['one.ts', 'two.ts']],
    ['b', ['high', 'low']],
  ]);
});
