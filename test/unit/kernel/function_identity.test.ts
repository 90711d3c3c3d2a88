import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { transform as esbuild } from 'esbuild';
import { functionIdentityOf } from '#kernel/functions/function_identity';

const require = createRequire(import.meta.url);
type Fn = (...args: never[]) => unknown;

const SOURCE = `
type Event = { amount: number; kind?: string | undefined };
export const functions = {
  large: (event: Event) => (event.amount as number) > 100,
  block: (event: Event): number => {
    // a comment that compilers drop
    let total = 0;
    for (const part of [event.amount, 1]) if (part > 0) total += part; else total -= 1;
    if (event.kind === 'refund') return -total;
    const twice = (value: number): number => value * 2;
    return twice(total) + (event.kind?.length ?? 0);
  },
  method(event: Event) { return { amount: event.amount, note: \`plain\`, nothing: void 0 }; },
  nested: function named({ amount, ...rest }: Event) { try { return [amount, Object.keys(rest)]; } catch (error) { throw error; } },
};
`;

/** The same source as tsx, tsc, Jest's swc and a coverage build compile it. */
async function builds(): Promise<Readonly<Record<string, string>>> {
  const swc = require('@swc/core') as { transform(code: string, options: object): Promise<{ code: string }> };
  const { createInstrumenter } = require('istanbul-lib-instrument') as {
    createInstrumenter(options: object): { instrumentSync(code: string, file: string): string };
  };
  const plain = (await esbuild(SOURCE, { loader: 'ts', format: 'esm' })).code;
  const folder = await mkdtemp(join(tmpdir(), 'headwater-identity-'));
  try {
    await writeFile(join(folder, 'source.ts'), SOURCE);
    const tsc = require.resolve('typescript/package.json').replace('package.json', 'bin/tsc');
    const options = ['--target', 'es2023', '--module', 'nodenext', '--skipLibCheck', '--ignoreConfig'];
    await promisify(execFile)(process.execPath, [tsc, ...options, '--outDir', folder, join(folder, 'source.ts')]);
    return {
      tsc: await readFile(join(folder, 'source.js'), 'utf8'),
      tsx: (await esbuild(SOURCE, { loader: 'ts', format: 'esm', keepNames: true, target: 'node20' })).code,
      minified: (await esbuild(SOURCE, { loader: 'ts', format: 'esm', minifyWhitespace: true })).code,
      swc: (
        await swc.transform(SOURCE, {
          jsc: { parser: { syntax: 'typescript' }, target: 'es2023' },
          module: { type: 'es6' },
        })
      ).code,
      coverage: createInstrumenter({ esModules: true, coverageVariable: '__identity__' }).instrumentSync(
        plain,
        'source.js',
      ),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** What a build exports, be it a CommonJS or an ES module. */
function load(code: string): Readonly<Record<string, Fn>> {
  const exported: { functions?: Record<string, Fn> } = {};
  const asCommon = code.replace(/export\s*\{[^}]*\};?/g, '').replace(/export const /g, 'const ');
  const found = new Function('exports', `${asCommon}\nreturn exports.functions ?? functions;`)(exported) as Record<
    string,
    Fn
  >;
  return found;
}

test('a function has one identity, however it was compiled', async () => {
  const compiled = Object.entries(await builds()).map(([build, code]) => {
    const hashes = Object.entries(load(code)).map(([name, fn]) => [name, functionIdentityOf(fn).hash]);
    return [build, Object.fromEntries(hashes)] as const;
  });
  const [[, first]] = compiled as [(typeof compiled)[number]];
  expect(new Set(Object.values(first)).size).toBe(4);
  expect(Object.fromEntries(compiled)).toEqual(Object.fromEntries(compiled.map(([build]) => [build, first])));
});

const limit = 5;
const other = 6;
test.each<[string, Fn, Fn]>([
  ['a constant', (x: number) => x > 100, (x: number) => x > 1],
  ['an operator', (x: number) => x > 1, (x: number) => x >= 1],
  ['a field', (x: { a: number }) => x.a, (x: { b: number }) => x],
  ['a captured name', (x: number) => x > limit, (x: number) => x > other],
  ['a string for a number', () => '1', () => 1],
  ['a branch', (x: number) => (x > 1 ? 1 : 2), (x: number) => (x > 1 ? 2 : 1)],
  ['a flag', () => /a/, () => /a/i],
  ['asynchrony', () => 1, async () => 1],
  ['a member', (x: number[]) => x.length, (x: number[]) => x.at(0)],
])('%s makes another function', (_, a, b) => {
  expect(functionIdentityOf(a).hash).not.toBe(functionIdentityOf(b).hash);
});

test('free names are those of captured variables and helpers, not of its own or of JavaScript', () => {
  const fn = ({ a, ...rest }: { a: number }) => {
    const own = Math.max(a, limit);
    try {
      return [own, rest, undefined, JSON.stringify(own)];
    } catch (error) {
      return error;
    }
  };
  expect(functionIdentityOf(fn).free).toEqual(['limit']);
  expect(functionIdentityOf((x: number) => x + 1).free).toEqual([]);
});

test('a function whose source is hidden is identified by its name', () => {
  expect(functionIdentityOf(Math.max).hash).not.toBe(functionIdentityOf(Math.min).hash);
});

test.each([
  ['(event) => (event.a?.b).c', '(event) => event.a?.b.c'],
  ['(event) => (event.a?.b).c()', '(event) => event.a?.b.c()'],
  ['(event) => (event.a?.b)()', '(event) => event.a?.b()'],
  ['(event) => ((event?.a)?.b).c', '(event) => event?.a?.b.c'],
])('%s fails where %s is undefined: another function', (one, other) => {
  const identityOf = (source: string) => functionIdentityOf(new Function(`return ${source}`)() as Fn).hash;
  expect(identityOf(one)).not.toBe(identityOf(other));
});
