import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import {
  importOptional,
  missingPackage,
  optionalPackages,
  PackageMissingError,
  requireInstalled,
  testedVersion,
} from '#kernel/optional_package';
import { assetPath } from '#kernel/project_root';

const json = JSON.parse(readFileSync(assetPath('package.json'), 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>;
};
const USE = { packages: ['@aws-sdk/client-kinesis', '@smithy/node-http-handler'], use: 'broker.kind kinesis' };
const failure = (code: string, message: string) => Object.assign(new Error(message), { code });

test('a package that is not installed is named with the command that installs the tested versions', async () => {
  const error = failure('ERR_MODULE_NOT_FOUND', "Cannot find package '@aws-sdk/client-kinesis' imported from /a/b.js");
  const refused = await importOptional(USE, () => Promise.reject(error)).catch((thrown: unknown) => thrown);
  expect(refused).toBeInstanceOf(PackageMissingError);
  expect(refused).toMatchObject({ code: 'KERNEL_PACKAGE_MISSING', fault: 'caller', retryable: false, cause: error });
  const [kinesis, handler] = USE.packages.map((name) => `${name}@${json.devDependencies[name]}`);
  expect((refused as Error).message).toBe(
    `broker.kind kinesis needs ${USE.packages.join(' and ')}, which is not installed: npm install ${kinesis} ${handler}`,
  );
});

test.each([
  ['import', 'ERR_MODULE_NOT_FOUND', "Cannot find package '@smithy/node-http-handler' imported from /a/b.js", true],
  ['require', 'MODULE_NOT_FOUND', "Cannot find module '@aws-sdk/client-kinesis'\nRequire stack:\n- /a/b.js", true],
  ['a path of it', 'MODULE_NOT_FOUND', "Cannot find module '@aws-sdk/client-kinesis/dist/x.js'", true],
  ['one of its dependencies', 'ERR_MODULE_NOT_FOUND', "Cannot find package 'tslib' imported from /a/b.js", false],
  ['a name that begins alike', 'ERR_MODULE_NOT_FOUND', "Cannot find package '@aws-sdk/client-kinesis-video'", false],
  ['an error of its own', 'ERR_REQUIRE_ESM', "Cannot find package '@aws-sdk/client-kinesis'", false],
])('%s', (_, code, message, isMissing) => {
  expect(missingPackage(USE, failure(code, message)) !== undefined).toBe(isMissing);
});

test('other failures of a load pass as they are', async () => {
  const error = new TypeError('x is not a function');
  await expect(importOptional(USE, () => Promise.reject(error))).rejects.toBe(error);
});

test('what a worker loads is checked before', () => {
  expect(() => requireInstalled(USE)).not.toThrow();
  const absent = { packages: ['esbuild', 'no-such-package-here'], use: 'x' };
  expect(() => requireInstalled(absent)).toThrow(PackageMissingError);
});

test('optional packages are installed in this workspace, in the version that the error names, and are no dependencies', () => {
  const names = Object.keys(optionalPackages());
  expect(names.length).toBeGreaterThan(5);
  for (const name of names) {
    expect([name, json.devDependencies[name]]).toEqual([name, testedVersion(name)]);
    expect([name, json.dependencies[name]]).toEqual([name, undefined]);
    expect([name, json.peerDependenciesMeta[name]]).toEqual([name, { optional: true }]);
  }
});
