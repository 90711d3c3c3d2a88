import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { globSync } from 'tinyglobby';
import { assetPath, projectRoot } from '#kernel/project_root';
import { EXAMPLES, exampleFiles } from '#scripts/writing/example_projects';

test.each(EXAMPLES)(
  '%s has the files that init writes: after a change of the templates, run npm run examples:files',
  (example) => {
    for (const [path, text] of Object.entries(exampleFiles(example))) {
      expect([path, readFileSync(assetPath(path), 'utf8')]).toEqual([path, text]);
    }
  },
);

test.each(EXAMPLES)('%s uses the public package alone', (example) => {
  const files = globSync([`examples/${example}/**/*.ts`], { cwd: projectRoot });
  expect(files.length).toBeGreaterThan(1);
  const { dependencies, devDependencies } = JSON.parse(
    exampleFiles(example)[`examples/${example}/package.json`] as string,
  );
  const own = new Set([...Object.keys(dependencies), ...Object.keys(devDependencies)]);
  const foreign = files.flatMap((file) =>
    [...readFileSync(assetPath(file), 'utf8').matchAll(/\bfrom '([^']+)'/g)]
      .map(([, specifier]) => specifier as string)
      .filter((specifier) => !own.has(specifier) && !/^(headwater\/[\w/-]+|node:[\w/]+|\.{1,2}\/.*)$/.test(specifier))
      .map((specifier) => `${file}: ${specifier}`),
  );
  expect(foreign).toEqual([]);
});
