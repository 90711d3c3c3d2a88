import { writeFile } from 'node:fs/promises';
import { definitionsAsData } from '#feature_store/definitions/catalog';
import { messageOf } from '#kernel/errors';
import { loadDefinitions } from '../project/project.ts';

// A process of `headwater check --against`: loads a project from its sources, and writes its definitions as data.

const [folder = '', packages = '', output = ''] = process.argv.slice(2);
try {
  const { catalog } = await loadDefinitions(folder, packages);
  await writeFile(output, JSON.stringify(definitionsAsData(catalog)));
} catch (error) {
  process.stderr.write(messageOf(error));
  process.exitCode = 1;
}
