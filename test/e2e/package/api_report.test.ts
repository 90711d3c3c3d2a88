import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { apiReport } from '#scripts/writing/api/api_report';
import { apiReports } from '#scripts/writing/api/api_reports';

test('public/api is what the declarations say: after a change of the public surface, run npm run api', () => {
  const reports = apiReports(assetPath('dist'));
  expect(reports.length).toBeGreaterThan(8);
  expect(readdirSync(assetPath('public/api')).sort()).toEqual(reports.map(({ file }) => file).sort());
  for (const { file, text } of reports) {
    const path = assetPath(`public/api/${file}`);
    expect(existsSync(path)).toBe(true);
    expect(readFileSync(path, 'utf8')).toBe(text);
  }
});

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'api-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function reportOf(files: Readonly<Record<string, string>>): Promise<string> {
  const root = await mkdtemp(join(folder, 'd-'));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return apiReport(root, 'public/a.d.ts', { '#kernel/': 'kernel/' });
}

const BEFORE = {
  'public/a.d.ts': "export { make } from '#kernel/x';\n",
  'kernel/x.d.ts': `import type { Deep as D } from './y.ts';
import type { Readable } from 'node:stream';
/** Ü: bytes and characters differ. */
export declare function make(from: D): Made;
export interface Made { /** a note */ readonly by: Inner; stream: Readable }
interface Inner { readonly a: 1 }
interface Unused { readonly b: 2 }
`,
  'kernel/y.d.ts': 'export interface Deep { readonly c: 3 }\nexport interface Other { readonly d: 4 }\n',
};

test('a report holds what an entry leads to, through files and aliases, and nothing else', async () => {
  expect(await reportOf(BEFORE)).toBe(`// Exports
export make

// Not followed
Readable from 'node:stream'

// kernel/x
interface Inner { readonly a: 1 }
interface Made {  readonly by: Inner; stream: Readable }
function make(from: D): Made;

// kernel/y
interface Deep { readonly c: 3 }`);
});

test.each([
  ['a type that is not exported itself', 'kernel/x.d.ts', 'readonly a: 1', 'readonly a: 2', true],
  ['a type of another file', 'kernel/y.d.ts', 'readonly c: 3', 'readonly c?: 3', true],
  ['a comment', 'kernel/x.d.ts', 'a note', 'another note', false],
  ['what nothing leads to', 'kernel/y.d.ts', 'readonly d: 4', 'readonly d: 5', false],
])('a change of %s', async (_, file, from, to, isSeen) => {
  const text = BEFORE[file as keyof typeof BEFORE];
  const after = await reportOf({ ...BEFORE, [file]: text.replace(from, to) });
  expect(after !== (await reportOf(BEFORE))).toBe(isSeen);
});
