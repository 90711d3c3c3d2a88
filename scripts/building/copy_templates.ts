import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { assetPath } from '#kernel/project_root';

// Part of `npm run build`: what `headwater init` and `headwater generate` write, as the package carries it.

for (const name of ['fraud', 'activity', 'market']) {
  const to = assetPath(`dist/templates/${name}`);
  rmSync(to, { recursive: true, force: true });
  cpSync(assetPath(`examples/${name}`), to, { recursive: true });
}

// The client that `headwater generate client` writes: the modules of client/ that import no others, as one.
const CLIENT = ['errors', 'transport', 'turn_batch', 'vectors', 'view_client', 'ingest', 'predictions'];
const modules = [...CLIENT, 'listeners', 'typed_client'].map((name) =>
  readFileSync(assetPath(`client/${name}.ts`), 'utf8').replaceAll(/^import [^;]*;\n/gm, ''),
);
writeFileSync(assetPath('dist/templates/client.ts'), modules.join('\n'));
