import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { expect, test } from '@jest/globals';
import { globSync } from 'tinyglobby';
import { createProgram } from '#cli/commands/program';
import { assetPath, projectRoot } from '#kernel/project_root';

// What the documents say is there, is there.

const PAGES = globSync(['*.md', 'docs/**/*.md', 'k8s/*.md', 'registry/**/*.md'], { cwd: projectRoot });
const textOf = (page: string): string => readFileSync(assetPath(page), 'utf8');

test('links between documents lead somewhere', () => {
  const broken = PAGES.flatMap((page) =>
    [...textOf(page).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)/g)]
      .map(([, target]) => target as string)
      .filter((target) => !existsSync(join(projectRoot, dirname(page), target)))
      .map((target) => `${page}: ${target}`),
  );
  expect(PAGES.length).toBeGreaterThan(30);
  expect(broken).toEqual([]);
});

/** What a reader is told to write. */
const EXAMPLES = [
  'features/spending.ts',
  'test/purchases.test.ts',
  'test/flights.test.ts',
  'test/purchase_size.test.ts',
];

test('files that are named are there, but for what has been', () => {
  const broken = PAGES.filter((page) => page !== 'CHANGELOG.md' && !page.startsWith('docs/adr/')).flatMap((page) =>
    [
      ...textOf(page).matchAll(
        /(?<![\w./-])((?:docs|monitoring|k8s|configs|test|scripts|bench|serving|registry|pipelines|feature_store|connectors|kernel|cli)\/[\w./-]*\w\.(?:md|ts|yml|yaml|json|py|sh|sql))(?![\w*])/g,
      ),
    ]
      .map(([, path]) => path as string)
      .filter((path) => !EXAMPLES.includes(path) && !existsSync(assetPath(path)))
      .map((path) => `${page}: ${path}`),
  );
  expect(broken).toEqual([]);
});

test('npm scripts that are named are there', () => {
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Readonly<Record<string, string>> };
  const unknown = PAGES.flatMap((page) =>
    [...textOf(page).matchAll(/npm run (?:-s )?([a-z][\w:-]*)/g)]
      .map(([, name]) => name as string)
      .filter((name) => scripts[name] === undefined)
      .map((name) => `${page}: npm run ${name}`),
  );
  expect(unknown).toEqual([]);
});

test('commands that are named exist', () => {
  const program = createProgram();
  const below = (command: CommandUnknownOpts, name: string) => command.commands.find((each) => each.name() === name);
  const unknown = PAGES.flatMap((page) =>
    [...textOf(page).matchAll(/(?:`|^)headwater ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?/gm)]
      .filter(([, name, sub]) => {
        const command = below(program, name as string);
        if (command === undefined) return true;
        return sub !== undefined && command.commands.length > 0 && below(command, sub) === undefined;
      })
      .map(([found]) => `${page}: ${found}`),
  );
  expect(unknown).toEqual([]);
});
