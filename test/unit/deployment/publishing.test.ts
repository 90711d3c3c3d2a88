import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { assetPath } from '#kernel/project_root';
import { publishingProblems } from '#scripts/checking/publishing';

const changed =
  (file: string, before: string, after: string) =>
  (path: string): string => {
    const text = readFileSync(assetPath(path), 'utf8');
    if (path === file && !text.includes(before)) throw new Error(`${file} has no ${before}`);
    return path === file ? text.replaceAll(before, after) : text;
  };

test('versions, policy and workflow of a release fit', () => {
  expect(publishingProblems()).toEqual([]);
});

test.each([
  ['python/pyproject.toml', 'version = "0.1.0"', 'version = "0.1.1"', /has version 0\.1\.1/],
  ['SECURITY.md', 'Report a vulnerability', 'Write to us', /no way to report/],
  ['CHANGELOG.md', '## Unreleased', '## Next', /no section "Unreleased"/],
  ['docs/upgrading.md', '| 0.1 | yes |', '| 0.0 | yes |', /does not support 0\.1/],
  ['.github/workflows/release.yml', '--provenance', '', /without --provenance/],
  ['.github/workflows/release.yml', 'id-token: write', 'id-token: none', /no permission id-token/],
  ['.github/workflows/release.yml', 'needs: production', 'needs: test', /does not wait for the approval/],
])('a release is refused where %s lacks what it needs: %s', (file, before, after, problem) => {
  expect(publishingProblems(changed(file, before, after)).join('\n')).toMatch(problem);
});
