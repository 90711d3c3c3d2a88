import { existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve, sep } from 'node:path';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { InvalidNameError } from '#registry/errors';
import { checkInnerPath, readInside } from '#registry/folder_files';
import { LocalRegistry } from '#registry/local/local_registry';
import { acceptsModelName, checkModelName, folderOfModel, modelOfFolder } from '#registry/names';
import { tinyModel } from '../../support/platforms/tiny_model.ts';

const text = fc.string({ unit: fc.constantFrom(...'aB9é日 ._-/\\:%\'"@{}*?\0\n\u0301'), maxLength: 12 });
const anything = fc.oneof(text, fc.string({ unit: 'binary', maxLength: 200 }));

test('an accepted name is one plain folder, and the folder gives the name back', () => {
  fc.assert(
    fc.property(anything, (name) => {
      if (!acceptsModelName(name)) return expect(() => checkModelName(name)).toThrow(InvalidNameError);
      const folder = folderOfModel(checkModelName(name));
      expect(folder).toMatch(/^[A-Za-z0-9_.!~*'()%-]+$/);
      expect(['.', '..']).not.toContain(folder);
      expect(resolve('/models', folder)).toBe(`/models${sep}${folder}`);
      expect(modelOfFolder(folder)).toBe(name);
    }),
    { numRuns: 5_000 },
  );
});

test('what the platform accepts', () => {
  for (const name of ['fraud_detector', 'Betrugsmodell 2', 'été', '検出器', 'a.b-c', '_x']) checkModelName(name);
  const refused = [
    '',
    '.',
    '..',
    '../x',
    'a/b',
    'a\\b',
    'a:b',
    "a'b",
    'a"b',
    'a%2Fb',
    'a@b',
    'a.',
    ' a',
    'a ',
    'e\u0301',
    'x\0',
    '-x',
  ];
  for (const name of [...refused, 'x'.repeat(129), null as unknown as string]) {
    expect(() => checkModelName(name)).toThrow(/is not a model name: it must have/);
  }
});

test('no folder outside the registry is read, made or changed, whatever name, version, alias or file is passed', async () => {
  const root = mkdtempSync(join(tmpdir(), 'names-'));
  const directory = join(root, 'models');
  const registry = new LocalRegistry({ kind: 'local', directory });
  await registry.register({ name: 'm', package: tinyModel(0), metrics: {}, params: {} });
  writeFileSync(join(directory, 'index.json'), '{"versions":[{"name":"x","version":1}],"aliases":{},"audit":[]}');
  const before = JSON.stringify([readdirSync(root), readdirSync(directory), readdirSync(join(directory, 'm'))]);
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(anything, fc.constantFrom('../models/m', '..', '.', 'm/../m', './m', 'm/.', '', 'm/versions')),
      async (name) => {
        fc.pre(!acceptsModelName(name));
        const version = { name, version: 1 } as Parameters<LocalRegistry['download']>[0];
        const calls: readonly (() => Promise<unknown>)[] = [
          () => registry.register({ name, package: tinyModel(0), metrics: {}, params: {} }),
          () => registry.listVersions(name),
          () => registry.resolve(name, { version: 1 }),
          () => registry.transition(name, 1, 'Archived'),
          () => registry.setAlias(name, 'a', 1),
          () => registry.setTag(name, 1, 'a', 'b'),
          () => registry.exclusively(name, async () => 1),
          () => registry.download(version),
          () => registry.attachment(version, 'report.html'),
        ];
        for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'REGISTRY_INVALID_NAME' });
      },
    ),
    { numRuns: 60 },
  );
  const versions = ['../../m/versions/1', 0, -1, 1.5, Number.NaN, 2 ** 60] as unknown as readonly number[];
  for (const version of versions) {
    const bad = { name: 'm', version } as Parameters<LocalRegistry['download']>[0];
    await expect(registry.download(bad)).rejects.toMatchObject({ code: 'REGISTRY_INVALID_NAME' });
    await expect(registry.transition('m', version, 'Archived')).rejects.toMatchObject({
      code: 'REGISTRY_INVALID_NAME',
    });
    await expect(registry.setAlias('m', 'a', version)).rejects.toMatchObject({ code: 'REGISTRY_INVALID_NAME' });
  }
  const one = (await registry.listVersions('m'))[0] as Parameters<LocalRegistry['download']>[0];
  for (const file of ['../../index.json', '/etc/passwd', '..', 'a/b', '.x', '']) {
    await expect(registry.attachment(one, file)).rejects.toMatchObject({ code: 'REGISTRY_INVALID_NAME' });
    const withFile = {
      name: 'm',
      package: tinyModel(0),
      metrics: {},
      params: {},
      attachments: new Map([[file, Buffer.from('x')]]),
    };
    await expect(registry.register(withFile)).rejects.toMatchObject({ code: 'REGISTRY_INVALID_NAME' });
  }
  for (const alias of ['', 'latest', 'v2', 'a b', '../x', "a'", '__proto__']) {
    await expect(registry.setAlias('m', alias, 1)).rejects.toMatchObject({ code: 'REGISTRY_INVALID_NAME' });
    await expect(registry.resolve('m', { alias })).rejects.toMatchObject({ code: 'REGISTRY_INVALID_NAME' });
  }
  expect(await registry.resolve('m', { alias: 'constructor' })).toBeUndefined();
  expect(JSON.stringify([readdirSync(root), readdirSync(directory), readdirSync(join(directory, 'm'))])).toBe(before);
});

test('models with spaces and other scripts are kept and listed under their names', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'names-'));
  const registry = new LocalRegistry({ kind: 'local', directory });
  const names = ['Betrug 2', 'plain', '検出器'];
  for (const name of names) await registry.register({ name, package: tinyModel(0), metrics: {}, params: {} });
  mkdirSync(join(directory, 'not a model'));
  expect([...(await registry.listModels())].sort()).toEqual(names);
  expect(existsSync(join(directory, 'Betrug%202', 'index.json'))).toBe(true);
});

test('a path in a model names a file of its folder, or is refused; links do not lead out', async () => {
  fc.assert(
    fc.property(anything, (path) => {
      try {
        checkInnerPath(path, 'a file');
      } catch (error) {
        expect(error).toMatchObject({ code: 'REGISTRY_INVALID_MODEL' });
        return;
      }
      expect(resolve('/folder', path).startsWith(`/folder${sep}`)).toBe(true);
      expect(new URL(`http://h/a/b/${path.split('/').map(encodeURIComponent).join('/')}`).pathname).toMatch(
        /^\/a\/b\/./,
      );
    }),
    { numRuns: 5_000 },
  );
  const root = mkdtempSync(join(tmpdir(), 'names-'));
  mkdirSync(join(root, 'model'));
  writeFileSync(join(root, 'secret'), 'secret');
  writeFileSync(join(root, 'model', 'weights'), 'weights');
  symlinkSync('../secret', join(root, 'model', 'link'));
  symlinkSync('..', join(root, 'model', 'up'));
  symlinkSync('weights', join(root, 'model', 'inner'));
  expect((await readInside(join(root, 'model'), 'inner')).toString()).toBe('weights');
  for (const path of ['link', 'up/secret', '../secret', join(root, 'secret'), 'C:/x', 'file:///etc/passwd']) {
    await expect(readInside(join(root, 'model'), path)).rejects.toMatchObject({ code: 'REGISTRY_INVALID_MODEL' });
  }
});
