import { expect, test } from '@jest/globals';
import { projectRoot } from '#kernel/project_root';
import { readSources } from '../../support/import_graph.ts';

const PRODUCT = [
  ...['kernel', 'monitoring', 'storage', 'connectors', 'registry', 'feature_store', 'pipelines', 'serving', 'client'],
  ...['workflows', 'cli', 'public', 'examples'],
];
const READS =
  /\bprocess\s*(?:\.\s*env\b|\[\s*['"]env['"]\s*\])|\{[^}]*\benv\b[^}]*\}\s*=\s*process\b|import\s*\{[^}]*\benv\b[^}]*\}\s*from\s*'(?:node:)?process'/;

test('only configs/ reads the environment', () => {
  const sources = readSources(projectRoot, PRODUCT);
  expect(sources.size).toBeGreaterThan(300);
  // A project reads it in its configuration file, and in programs of its own.
  const read = [...sources].filter(([file]) => !/^examples\/[^/]+\/(?:headwater\.config\.ts|scripts\/.*)$/.test(file));
  expect(read.filter(([, text]) => READS.test(text)).map(([file]) => file)).toEqual([]);
});

test.each([
  'process.env.HOME',
  "process['env'].HOME",
  'const { env } = process;',
  'const { argv, env: variables } = process;',
  "import { env } from 'node:process';",
])('%s is found', (text) => {
  expect(READS.test(text)).toBe(true);
});
