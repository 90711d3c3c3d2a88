import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { globSync } from 'tinyglobby';
import { assetPath, projectRoot } from '#kernel/project_root';

// `type` of an error's answer leads to its code in docs/errors.md.

test('docs/errors.md lists every code that is declared, where it is declared', () => {
  const folders =
    'kernel,configs,monitoring,storage,connectors,registry,feature_store,pipelines,serving,workflows,client,cli';
  const declared = globSync([`{${folders}}/**/*.ts`], { cwd: projectRoot }).flatMap((file) =>
    [...readFileSync(assetPath(file), 'utf8').matchAll(/readonly code = '(\w+)'/g)].map(
      ([, code]) => `${code} in ${file}`,
    ),
  );
  const listed = [
    ...readFileSync(assetPath('docs/errors.md'), 'utf8').matchAll(/^\| `(\w+)` \| .* \| (\S+) \|$/gm),
  ].map(([, code, file]) => `${code} in ${file}`);
  expect(declared.length).toBeGreaterThan(50);
  expect(declared.filter((each) => !listed.includes(each))).toEqual([]);
  expect(
    listed.filter((each) => !declared.includes(each) && !each.endsWith('in monitoring/http/error_answer.ts')),
  ).toEqual([]);
});
