import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { assetPath, projectRoot } from '#kernel/project_root';
import { readSources } from '../../support/import_graph.ts';

// The package works without what it leaves out: examples, scripts, benchmarks and tests. Examples use the public package alone, as any project does.

const PRODUCT = [
  ...['kernel', 'configs', 'monitoring', 'storage', 'connectors', 'registry', 'feature_store'],
  ...['pipelines', 'serving', 'workflows', 'client', 'cli', 'public'],
];
/** What is imported, and modules that threads and processes are started with. */
const SPECIFIERS = /(?:\bfrom\s+|\bimport\s*\(?\s*|\bnew URL\(\s*|\bworkerEntry\(import\.meta\.url,\s*)'([^']+)'/g;
/** The template of `headwater init`, and the deployment that it is made of. */
const KNOWS_TEMPLATES = /^cli\/init\/(?:templates|init|deployment)\.ts$/;

const importing = (files: ReadonlyMap<string, string>, isWrong: (specifier: string) => boolean): readonly string[] =>
  [...files].flatMap(([file, text]) =>
    [...text.matchAll(SPECIFIERS)]
      .map(([, specifier]) => specifier as string)
      .filter(isWrong)
      .map((specifier) => `${file}: ${specifier}`),
  );

const LEFT_OUT = /^(?:#|(?:\.\.\/)+)(?:examples|scripts|bench|test)\//;

test('the product imports nothing that the package leaves out', () => {
  const sources = readSources(projectRoot, PRODUCT);
  expect(sources.size).toBeGreaterThan(300);
  expect(importing(sources, (specifier) => LEFT_OUT.test(specifier))).toEqual([]);
  const { files } = JSON.parse(readFileSync(assetPath('package.json'), 'utf8')) as {
    readonly files: readonly string[];
  };
  expect(files).toEqual(expect.arrayContaining(['!dist/bench', '!dist/examples', '!dist/scripts', '!dist/test']));
});

test('the product names no folder or module of an example', () => {
  const named = [...readSources(projectRoot, PRODUCT)]
    .filter(([file]) => !KNOWS_TEMPLATES.test(file))
    .flatMap(([file, text]) =>
      text
        .split('\n')
        .filter((line) => !/^\s*(?:\/\/|\/?\*)/.test(line))
        .filter((line) => /['"`/]examples\/|fraudView|fraudDetector/.test(line))
        .map((line) => `${file}: ${line.trim()}`),
    );
  expect(named).toEqual([]);
});

test('examples import each other, the public package and other packages alone', () => {
  const sources = readSources(projectRoot, ['examples']);
  expect(sources.size).toBeGreaterThan(80);
  expect(importing(sources, (specifier) => specifier.startsWith('#') || /^(?:\.\.\/){3,}/.test(specifier))).toEqual([]);
});

test.each([
  "from '#examples/fraud/x'",
  "await import('../../scripts/x.ts')",
  "new URL('../bench/x.js', import.meta.url)",
])('%s is found', (text) => {
  expect(importing(new Map([['a.ts', text]]), (specifier) => LEFT_OUT.test(specifier))).toHaveLength(1);
});
