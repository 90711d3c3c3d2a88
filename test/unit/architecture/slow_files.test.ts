import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';

test('the files that start first exist, the slowest at the top', () => {
  const seconds = JSON.parse(readFileSync(assetPath('test/support/jest/slow_files.json'), 'utf8')) as Record<
    string,
    number
  >;
  const listed = Object.entries(seconds);
  expect(listed.filter(([path]) => !existsSync(assetPath(path)))).toEqual([]);
  expect(listed).toEqual(listed.toSorted(([, one], [, other]) => other - one));
});
