import { mkdir, writeFile } from 'node:fs/promises';
import { createProgram } from '#cli/commands/program';
import { loadProject } from '#cli/project/project';
import { assetPath, projectRoot } from '#kernel/project_root';
import { errorsReference } from './error_reference.ts';
import {
  commandsReference,
  configurationReference,
  featureReference,
  metricsReference,
  REFERENCE_FOLDER,
} from './reference.ts';

// npm run reference: docs/reference, from the code.
const project = await loadProject({ HEADWATER_PROJECT: projectRoot });

const pages = {
  commands: commandsReference(createProgram()),
  configuration: configurationReference(),
  features: featureReference(project.catalog),
  metrics: metricsReference(),
};
await mkdir(assetPath(REFERENCE_FOLDER), { recursive: true });
for (const [name, text] of Object.entries(pages)) {
  await writeFile(assetPath(`${REFERENCE_FOLDER}/${name}.md`), text);
  process.stdout.write(`${REFERENCE_FOLDER}/${name}.md\n`);
}
await writeFile(assetPath('docs/errors.md'), errorsReference());
process.stdout.write('docs/errors.md\n');
