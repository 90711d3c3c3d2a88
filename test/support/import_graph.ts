import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { globSync } from 'tinyglobby';

/** Imports between files or folders: from each to those that it imports. */
export type ImportGraph = ReadonlyMap<string, ReadonlySet<string>>;

/** `from '…'`, `import '…'`, `import('…')` and `new URL('…')`, of types as well. */
const IMPORT = /(?:\bfrom\s+|\bimport\s*\(?\s*|\bnew URL\(\s*)'([#.][^']*)'/g;

/**
 * Returns the source files of folders by path, with their text.
 *
 * @param root - absolute, with a slash at its end
 */
export function readSources(root: string, folders: readonly string[]): ReadonlyMap<string, string> {
  const files = globSync(
    folders.map((folder) => `${folder}/**/*.{ts,tsx}`),
    { cwd: root },
  );
  return new Map(files.sort().map((file) => [file, readFileSync(join(root, file), 'utf8')]));
}

/** Returns which file imports which, of those given; `#folder/file` is a path from the root. */
export function importsOf(sources: ReadonlyMap<string, string>): ImportGraph {
  return new Map(
    [...sources].map(([file, text]) => {
      const targets = [...text.matchAll(IMPORT)].map(([, specifier = '']) =>
        specifier.startsWith('#') ? `${specifier.slice(1)}.ts` : normalize(join(dirname(file), specifier)),
      );
      return [file, new Set(targets.filter((target) => target !== file && sources.has(target)))];
    }),
  );
}

/**
 * Returns the circles among what lies directly in a folder: its files, and its folders with all that is below them. A circle is named by its members.
 *
 * @param folder - '' for the root
 */
export function circlesIn(folder: string, imports: ImportGraph): readonly (readonly string[])[] {
  const prefix = folder === '' ? '' : `${folder}/`;
  const memberOf = (file: string): string => file.slice(prefix.length).split('/')[0] as string;
  const between = new Map<string, Set<string>>();
  for (const [file, targets] of imports) {
    if (!file.startsWith(prefix)) continue;
    const from = memberOf(file);
    const reached = between.get(from) ?? new Set();
    between.set(from, reached);
    for (const target of targets) {
      if (target.startsWith(prefix) && memberOf(target) !== from) reached.add(memberOf(target));
    }
  }
  const reachable = new Map([...between.keys()].map((member) => [member, reachableFrom(member, between)]));
  const circles = [...between.keys()]
    .filter((member) => reachable.get(member)?.has(member))
    .map((member) => [...between.keys()].filter((other) => isCircle(member, other, reachable)).sort());
  return [...new Map(circles.map((circle) => [circle.join(), circle])).values()];
}

const isCircle = (a: string, b: string, reachable: ReadonlyMap<string, ReadonlySet<string>>): boolean =>
  (reachable.get(a)?.has(b) ?? false) && (reachable.get(b)?.has(a) ?? false);

/** Returns every folder that holds one of the files, the root included. */
export function foldersOf(files: Iterable<string>): readonly string[] {
  const folders = new Set<string>(['']);
  for (const file of files) {
    for (let folder = dirname(file); folder !== '.'; folder = dirname(folder)) folders.add(folder);
  }
  return [...folders].sort();
}

function reachableFrom(start: string, graph: ImportGraph): ReadonlySet<string> {
  const reached = new Set<string>();
  const open = [start];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (const next of graph.get(at) ?? []) {
      if (reached.has(next)) continue;
      reached.add(next);
      open.push(next);
    }
  }
  return reached;
}
