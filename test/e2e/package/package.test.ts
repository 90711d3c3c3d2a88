import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { publint } from 'publint';
import { assetPath } from '#kernel/project_root';

// The package as `npm pack` makes it, and a project that uses it: nothing of the repository is in that project's reach.

const run = promisify(execFile);

interface Packed {
  readonly filename: string;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

let folder: string;
let packed: Packed;
let project: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'package-'));
  const packing = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const { stdout } = await run('npm', packing, { cwd: assetPath(''), maxBuffer: 32 * 1024 * 1024 });
  packed = (JSON.parse(stdout) as [Packed])[0];
  project = join(folder, 'project');
  const installed = join(project, 'node_modules', 'headwater');
  await mkdir(installed, { recursive: true });
  await run('tar', ['-xzf', join(folder, packed.filename), '-C', installed, '--strip-components=1']);
  // What npm would install beside it.
  await symlink(assetPath('node_modules'), join(installed, 'node_modules'));
  await symlink(assetPath('node_modules/zod'), join(project, 'node_modules', 'zod'));
  await cp(assetPath('test/data/consumer'), project, { recursive: true });
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'consumer', type: 'module', private: true }));
  const compilerOptions = { module: 'nodenext', target: 'es2022', strict: true, outDir: 'built', types: ['node'] };
  const typeRoots = [assetPath('node_modules/@types')];
  await writeFile(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: { ...compilerOptions, typeRoots },
      files: ['features.ts', 'pipeline.ts', 'client.ts'],
    }),
  );
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

test('it holds what runs and its types: no tests, examples, benchmarks, or sources', () => {
  const paths = packed.files.map(({ path }) => path);
  process.stdout.write(`the package: ${paths.length} files, ${(packed.unpackedSize / 1e6).toFixed(1)} MB unpacked\n`);
  const code = paths.filter((path) => /\.(js|ts|map)$/.test(path) && !path.startsWith('dist/templates/'));
  expect(code.filter((path) => !path.startsWith('dist/'))).toEqual([]);
  // What `headwater init` writes.
  expect(paths).toContain('dist/templates/fraud/models/fraud_detector/model.onnx');
  expect(code.filter((path) => /^dist\/(test|examples|bench|scripts)\//.test(path))).toEqual([]);
  expect(code.filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))).toEqual([]);
  for (const path of ['LICENSE', 'README.md', 'configs/default.yaml', 'dist/cli/headwater.js', 'docs/errors.md']) {
    expect(paths).toContain(path);
  }
});

test('its exports resolve, with their types, as Node and TypeScript read them', async () => {
  const tarball = await readFile(join(folder, packed.filename));
  const { messages } = await publint({ pack: { tarball: new Uint8Array(tarball).buffer }, level: 'warning' });
  expect(messages).toEqual([]);
  const checked = await checkPackage(createPackageFromTarballData(new Uint8Array(tarball)));
  const problems = checked.types === false ? ['no types'] : checked.problems;
  // The package is ESM alone: only resolution by Node's rules counts.
  expect(problems.filter((problem) => typeof problem === 'string' || !isOfOtherResolution(problem))).toEqual([]);
}, 120_000);

const isOfOtherResolution = (problem: object): boolean => {
  const { kind, resolutionKind } = problem as { kind: string; resolutionKind?: string };
  return kind === 'CJSResolvesToESM' || resolutionKind === 'node10';
};

test('a project compiles against it, mistakes in definitions are errors, and its pipeline runs', async () => {
  const { stdout: problems } = await run(process.execPath, [
    assetPath('node_modules/typescript/bin/tsc'),
    '-p',
    project,
  ]).catch((error: { stdout: string }) => error);
  expect(problems).toBe('');
  const { stdout } = await run(process.execPath, ['built/pipeline.js'], { cwd: project });
  expect(stdout).toBe('the pipeline holds\n');
}, 120_000);
