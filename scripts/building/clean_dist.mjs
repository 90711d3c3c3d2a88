import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// First of `npm run build`: removes from dist/ what was built from a source that is gone, so that nothing stale is run, tested or packed.

const root = fileURLToPath(new URL('../..', import.meta.url));
const BUILT = /(\.d\.ts|\.js)(\.map)?$/;
/** Made by other steps of the build. */
const KEPT = /^templates$|^templates\/|^serving\/console\/(app|index)\./;

function clean(folder) {
  for (const name of readdirSync(join(root, 'dist', folder))) {
    const path = folder === '' ? name : `${folder}/${name}`;
    if (KEPT.test(path)) continue;
    const file = join(root, 'dist', path);
    if (statSync(file).isDirectory()) {
      clean(path);
      if (readdirSync(file).length === 0) rmSync(file, { recursive: true });
    } else if (BUILT.test(name)) {
      const stem = path.replace(BUILT, '');
      if (!['.ts', '.tsx'].some((extension) => existsSync(join(root, `${stem}${extension}`)))) rmSync(file);
    }
  }
}

if (existsSync(join(root, 'dist'))) clean('');
