import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CommandUnknownOpts } from '@commander-js/extra-typings';
import { expect, test } from '@jest/globals';
import { globSync } from 'tinyglobby';
import { createProgram } from '#cli/commands/program';
import { assetPath, projectRoot } from '#kernel/project_root';
import { declaredMetrics } from '#scripts/checking/declared_metrics';

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
  'pipelines/revenue.ts',
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

/** Of prom-client: of the process, whatever it runs. */
const OF_THE_PROCESS = /^(?:process|nodejs)_/;

test('metrics and alerts that are named are there', () => {
  const metrics = new Set(declaredMetrics().map(({ name }) => name));
  const rules = readFileSync(assetPath('monitoring/prometheus/rules/alerts.yml'), 'utf8');
  const alerts = new Set([...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name));
  // Features and fields have names of such forms as well.
  const pages = PAGES.filter((page) => page !== 'CHANGELOG.md' && !/^docs\/(?:adr|reference)\//.test(page));
  const named = (page: string, form: RegExp) => [...textOf(page).matchAll(form)].map(([, name]) => name as string);
  const unknown = pages.flatMap((page) => [
    ...named(page, /`([a-z][a-z0-9]*(?:_[a-z0-9]+)*_(?:seconds|total|bytes|ratio))(?:\{[^`]*\})?`/g)
      .filter((name) => !metrics.has(name.replace(/_(?:bucket|sum|count)$/, '')) && !OF_THE_PROCESS.test(name))
      .map((name) => `${page}: metric ${name}`),
    ...(page.startsWith('docs/how_to/') ? named(page, /`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`/g) : [])
      .filter((name) => !alerts.has(name))
      .map((name) => `${page}: alert ${name}`),
  ]);
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

/** Returns the command lines of `headwater` that a page shows, each as its words. */
const commandLinesOf = (page: string): readonly (readonly string[])[] =>
  [...textOf(page).matchAll(/(?:`|^|&& |npx )headwater ([a-z][^`\n]*)/gm)].map(
    ([, line = '']) => line.split(/ (?:#|\||&&|>|<\() ?/)[0]?.split(/\s+/) as readonly string[],
  );

/** Pages that name what was, or is not yet. */
const BEFORE_AND_AFTER = ['CHANGELOG.md', 'docs/status.md'];

test('options that are named belong to their commands', () => {
  const program = createProgram();
  const unknown = PAGES.filter((page) => !BEFORE_AND_AFTER.includes(page)).flatMap((page) =>
    commandLinesOf(page).flatMap((words) => {
      let command: CommandUnknownOpts = program;
      const known = new Set(['--help', ...program.options.map(({ long }) => long)]);
      for (const word of words) {
        const next = command.commands.find((each) => each.name() === word);
        if (next === undefined) break;
        command = next;
        for (const { long } of command.options) known.add(long);
      }
      const named = words.flatMap((word) => word.match(/^--[a-z][a-z-]*/) ?? []);
      return named.filter((option) => !known.has(option)).map((option) => `${page}: ${words.join(' ')}: ${option}`);
    }),
  );
  expect(unknown).toEqual([]);
});

test('each page has a place in the navigation of the site', () => {
  const navigation = readFileSync(assetPath('scripts/writing/write_site.ts'), 'utf8');
  const pages = globSync(['docs/*.md'], { cwd: projectRoot }).map((page) => page.slice('docs/'.length, -'.md'.length));
  expect(pages.length).toBeGreaterThan(25);
  expect(pages.filter((page) => !navigation.includes(`'${page}'`))).toEqual([]);
});
