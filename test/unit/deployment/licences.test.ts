import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';

// What is shipped may be shipped.

const ALLOWED = new Set([
  ...['MIT', 'ISC', '0BSD', 'BlueOak-1.0.0', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', 'Unlicense', 'CC0-1.0'],
]);
/** Packages that do not say it in package.json; read in their sources. */
const READ: Readonly<Record<string, string>> = {
  'apache-beam': 'Apache-2.0',
  jstat: 'MIT',
};

test('every package that production needs has a licence that lets us ship it', () => {
  interface Locked {
    readonly license?: string;
    readonly dev?: boolean;
    readonly devOptional?: boolean;
  }
  const lock = JSON.parse(readFileSync(assetPath('package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, Locked>>;
  };
  const shipped = Object.entries(lock.packages).filter(
    ([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional,
  );
  expect(shipped.length).toBeGreaterThan(100);
  const others = shipped.flatMap(([path, { license }]) => {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    const says = license ?? READ[name] ?? 'nothing';
    const isAllowed = says.split(/ OR /).some((choice) =>
      choice
        .replace(/[()]/g, '')
        .split(/ AND /)
        .every((id) => ALLOWED.has(id.trim())),
    );
    return isAllowed ? [] : [`${name}: ${says}`];
  });
  expect(others).toEqual([]);
});
