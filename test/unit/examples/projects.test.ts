import { existsSync, readFileSync } from 'node:fs';
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

const ALL = globSync(['examples/*/'], { cwd: projectRoot, onlyDirectories: true });

test.each(ALL)('%s uses the public package alone', (folder) => {
  const files = globSync([`${folder}**/*.ts`], { cwd: projectRoot });
  expect(files.length).toBeGreaterThan(0);
  // Pipelines and data without a project of their own have the packages of this workspace.
  const own = assetPath(`${folder}package.json`);
  const manifest = readFileSync(existsSync(own) ? own : assetPath('package.json'), 'utf8');
  const { dependencies, devDependencies } = JSON.parse(manifest);
  const packages = new Set([...Object.keys(dependencies), ...Object.keys(devDependencies)]);
  const packageOf = (specifier: string): string => /^(@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;
  const foreign = files.flatMap((file) =>
    [...readFileSync(assetPath(file), 'utf8').matchAll(/\bfrom '([^']+)'/g)]
      .map(([, specifier]) => specifier as string)
      .filter(
        (specifier) =>
          !packages.has(packageOf(specifier)) && !/^(headwater\/[\w/-]+|node:[\w/]+|\.{1,2}\/.*)$/.test(specifier),
      )
      .map((specifier) => `${file}: ${specifier}`),
  );
  expect(foreign).toEqual([]);
});
