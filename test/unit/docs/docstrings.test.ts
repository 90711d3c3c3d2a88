import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect, test } from '@jest/globals';
import { globSync } from 'tinyglobby';
import { projectRoot } from '#kernel/project_root';

// The reference of the public surface is made of docstrings: each exported name has one, and one of a function begins with what it does.

interface Exported {
  readonly entry: string;
  readonly name: string;
  /** What comes before the declaration's name: `export const`. */
  readonly declaration: string;
  readonly docstring: string;
}

const source = (path: string): string => readFileSync(join(projectRoot, path), 'utf8');

const moduleOf = (from: string, specifier: string): string =>
  specifier.startsWith('#') ? `${specifier.slice(1)}.ts` : join(dirname(from), specifier);

/** Follows a name through re-exports to its declaration; undefined for names of other packages. */
function declarationOf(path: string, name: string): Omit<Exported, 'entry' | 'name'> | undefined {
  const text = source(path);
  const declared = new RegExp(
    `^export (?:declare )?(?:abstract )?(?:async )?(const|function\\*?|class|interface|type|enum) ${name}\\b`,
    'm',
  ).exec(text);
  if (declared !== null) {
    const [, docstring = ''] = /\/\*\*((?:[^*]|\*(?!\/))*)\*\/\n$/.exec(text.slice(0, declared.index)) ?? [];
    return { declaration: declared[1] as string, docstring: docstring.replace(/^\s*\* ?/gm, '').trim() };
  }
  for (const { names, specifier } of reExports(text)) {
    const target = names.get(name);
    if (target === undefined && !names.has('*')) continue;
    if (!/^[#.]/.test(specifier)) return undefined;
    const found = declarationOf(moduleOf(path, specifier), target ?? name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Returns `export { a, type B as C } from '…'` of a module: exported names with the names that they have there. */
const reExports = (text: string) =>
  [...text.matchAll(/^export (?:type )?(\*|\{[^}]*\}) from '([^']+)'/gm)].map(([, list = '', specifier = '']) => ({
    specifier,
    names: new Map(
      list
        .replace(/[{}]/g, '')
        .split(',')
        .map((part) => part.trim().replace(/^type /, ''))
        .filter((part) => part !== '')
        .map((part) => part.split(' as '))
        .map(([name = '', as = name]) => [as, name] as const),
    ),
  }));

const EXPORTED: readonly Exported[] = globSync(['public/*.ts'], { cwd: projectRoot }).flatMap((path) =>
  reExports(source(path)).flatMap(({ names }) =>
    [...names.keys()].flatMap((name) => {
      const found = declarationOf(path, name);
      return found === undefined ? [] : [{ entry: basename(path, '.ts'), name, ...found }];
    }),
  ),
);

test('every exported name has a docstring', () => {
  expect(EXPORTED.length).toBeGreaterThan(400);
  expect(EXPORTED.filter(({ docstring }) => docstring === '').map(({ entry, name }) => `${entry}.${name}`)).toEqual([]);
});

test('docstrings of functions begin with a verb', () => {
  const isFunction = ({ declaration, name }: Exported): boolean =>
    declaration.startsWith('function') || (declaration === 'const' && /^[a-z]/.test(name));
  const others = EXPORTED.filter(isFunction).filter(({ docstring }) => !/^[A-Z][a-z]+s\b(?!')/.test(docstring));
  expect(others.map(({ entry, name, docstring }) => `${entry}.${name}: ${docstring.slice(0, 60)}`)).toEqual([]);
});
