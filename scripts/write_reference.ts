import { mkdir, writeFile } from 'node:fs/promises';
import { assetPath } from '#kernel/project_root';
import { configurationReference, featureReference, metricsReference, REFERENCE_FOLDER } from './reference.ts';

// npm run reference: docs/reference, from the code.
const pages = {
  configuration: configurationReference(),
  features: featureReference(),
  metrics: metricsReference(),
};
await mkdir(assetPath(REFERENCE_FOLDER), { recursive: true });
for (const [name, text] of Object.entries(pages)) {
  await writeFile(assetPath(`${REFERENCE_FOLDER}/${name}.md`), text);
  process.stdout.write(`${REFERENCE_FOLDER}/${name}.md\n`);
}
