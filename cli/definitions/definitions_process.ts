import { writeFile } from 'node:fs/promises';
import { definitionSet } from '#feature_store/definitions/sets/definition_set';
import { messageOf } from '#kernel/errors';
import { loadDefinitions } from '../project/project.ts';

// A process of `headwater check --against`: loads a project from its sources, and writes its definitions as data.

const [folder = '', packages = '', output = ''] = process.argv.slice(2);
try {
  const { catalog } = await loadDefinitions(folder, packages);
  await writeFile(output, JSON.stringify(definitionSet(catalog)));
} catch (error) {
  process.stderr.write(messageOf(error));
  process.exitCode = 1;
}
