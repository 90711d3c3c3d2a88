import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { globSync } from 'tinyglobby';
import { runCommand } from '../../support/platforms/command_line.ts';

// Pipelines and scripts of a project run from its TypeScript sources, by name and by path.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'my project é-'));
  const files = {
    'package.json': '{"type":"module"}',
    'headwater.config.ts': `import { defineConfig } from 'headwater';\nexport default defineConfig({ scripts: ['scripts', 'tools/one.ts'] });\n`,
    'pipelines/words/lengths.ts': `export enum Least { Letters = 3 }\nexport const isLong = (word: string): boolean => word.length >= Least.Letters;\n`,
    'pipelines/words/long_words.ts': `import { type Construct, create, filter, keyBy, parDo, withTimestamps, writeFiles, type KV, type ProcessContext } from 'headwater/pipelines';
import { isLong } from './lengths';

class Named { process({ key, value }: KV<string, string>, context: ProcessContext<{ key: string; value: string }>): void { context.output({ key, value }); } }

export default ({ out = '' }: Readonly<Record<string, string>>): Construct => (root) => {
  root
    .apply(create(['one', 'is', 'two', 'of', 'one']))
    .apply(withTimestamps(() => 1_000))
    .apply(filter(isLong, 'Long'))
    .apply(keyBy((word) => word, 'ByWord'))
    .apply(parDo(new Named(), { name: 'Named' }))
    .apply(writeFiles({ directory: out, format: 'jsonl', windowSeconds: 3_600 }, () => 0));
};
`,
    'scripts/hello.ts': `import { quantile } from 'headwater/testing';\nimport { isLong } from '../pipelines/words/lengths.ts';\nenum Answer { Yes = 'yes' }\nconsole.log(JSON.stringify([process.argv.slice(2), quantile([1, 3], 0.5), isLong('is'), Answer.Yes]));\n`,
    'tools/one.ts': `console.log('one');\n`,
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const headwater = (...args: string[]) => runCommand(folder, args, { HEADWATER_PROJECT: '' });

const wordsIn = (out: string): readonly string[] =>
  globSync('**/*.jsonl', { cwd: out })
    .flatMap((file) => readFileSync(join(out, file), 'utf8').trim().split('\n'))
    .map((line) => (JSON.parse(line) as { readonly key: string }).key)
    .sort();

test.each([
  ['by its name', ['words/long_words']],
  ['by its path, on threads', ['pipelines/words/long_words.ts', '--threads', '2']],
])(
  'a pipeline in TypeScript runs %s',
  async (name, args) => {
    const out = join(folder, `out of ${name}`);
    const { code, stderr } = await headwater('pipelines', 'run', ...args, '--option', `out=${out}`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(wordsIn(out)).toEqual(['one', 'one', 'two']);
  },
  60_000,
);

test('workers load it as well, and an unknown name is refused with the nearest', async () => {
  const worker = await headwater('pipelines', 'worker', 'words/long_words');
  expect(worker).toMatchObject({ code: 2, stderr: expect.stringContaining('--listen') });
  const unknown = await headwater('pipelines', 'run', 'words/long_word');
  expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining('(did you mean "words/long_words"?)') });
}, 60_000);

test('a script gets the arguments behind its name', async () => {
  const { stdout, stderr } = await headwater('scripts', 'run', 'hello', 'a', '--events', '5', '-x');
  expect(stderr).toBe('');
  expect(JSON.parse(stdout)).toEqual([['a', '--events', '5', '-x'], 1, false, 'yes']);
  expect(await headwater('scripts', 'run', 'one')).toMatchObject({ code: 0, stdout: 'one\n' });
  expect(await headwater('scripts', 'run', 'two')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('there is no script "two"; there is hello, one'),
  });
}, 60_000);
