import { cpSync, rmSync } from 'node:fs';
import { assetPath } from '#kernel/project_root';

// Part of `npm run build`: the examples that `headwater init` begins with, as the package carries them.

for (const name of ['fraud', 'activity', 'market']) {
  const to = assetPath(`dist/templates/${name}`);
  rmSync(to, { recursive: true, force: true });
  cpSync(assetPath(`examples/${name}`), to, { recursive: true });
}
