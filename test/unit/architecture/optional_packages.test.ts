import { dirname, join, normalize } from 'node:path';
import { expect, test } from '@jest/globals';
import { optionalPackages } from '#kernel/optional_package';
import { projectRoot } from '#kernel/project_root';
import { readSources } from '../../support/import_graph.ts';

// Optional packages are loaded when they are used, through one helper that names the install command.

const PRODUCT = [
  ...['kernel', 'configs', 'monitoring', 'storage', 'connectors', 'registry', 'feature_store'],
  ...['pipelines', 'serving', 'client', 'cli', 'public'],
];
/** `import … from 'x'` and `export … from 'x'`, but of types. */
const STATIC = /^(?:import|export) (?!type\b)[^;]*?from '([^']+)'/gm;
const DYNAMIC = /\bimport\(\s*'([^']+)'/g;
const WORKER = /\b(?:workerEntry\(import\.meta\.url, |new URL\()'([^']+)'/g;
const HELPERS = /\b(?:importOptional|requireInstalled|missingPackage)\(/;

const sources = readSources(projectRoot, PRODUCT);
const names = Object.keys(optionalPackages());
const isOptional = (specifier: string): boolean =>
  names.some((name) => specifier === name || specifier.startsWith(`${name}/`));
const pathOf = (from: string, specifier: string): string => {
  if (specifier.startsWith('#')) return `${specifier.slice(1)}.ts`;
  const path = normalize(join(dirname(from), specifier));
  return path.endsWith('.ts') ? path : `${path}.ts`;
};
const specifiersOf = (file: string, pattern: RegExp): readonly string[] =>
  [...(sources.get(file) as string).matchAll(pattern)].map(([, specifier]) => specifier as string);

/** Files that load an optional package when they are loaded themselves. */
function needing(): ReadonlySet<string> {
  const found = new Set([...sources.keys()].filter((file) => specifiersOf(file, STATIC).some(isOptional)));
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    for (const file of sources.keys()) {
      if (specifiersOf(file, STATIC).some((specifier) => found.has(pathOf(file, specifier)))) found.add(file);
    }
  }
  return found;
}

test('modules that need an optional package are loaded through the helper alone', () => {
  const found = needing();
  expect([...found]).toEqual(
    expect.arrayContaining(['connectors/kinesis/kinesis_broker.ts', 'connectors/pubsub/pubsub_broker.ts']),
  );
  const entries = [...found].filter((file) => file.startsWith('public/') || file === 'cli/headwater.ts');
  expect(entries).toEqual([]);
  const loads = [...sources.keys()].flatMap((file) =>
    [DYNAMIC, WORKER]
      .flatMap((pattern) => specifiersOf(file, pattern))
      .filter((specifier) => isOptional(specifier) || found.has(pathOf(file, specifier)))
      .map((specifier) => ({ file, specifier })),
  );
  expect(loads.length).toBeGreaterThan(5);
  const unguarded = loads.filter(({ file }) => !HELPERS.test(sources.get(file) as string) && !found.has(file));
  expect(unguarded).toEqual([]);
});
