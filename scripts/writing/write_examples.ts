import { writeFileSync } from 'node:fs';
import { assetPath } from '#kernel/project_root';
import { EXAMPLES, exampleFiles } from './example_projects.ts';

// npm run examples:files: writes package.json, Dockerfile and so on of the examples, as `headwater init` writes them.

for (const example of EXAMPLES) {
  for (const [path, text] of Object.entries(exampleFiles(example))) writeFileSync(assetPath(path), text);
}
