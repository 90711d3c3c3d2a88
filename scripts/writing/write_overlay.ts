import { existsSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { assetPath } from '#kernel/project_root';
import { parseOutputs, writeOverlay } from '../terraform/overlays.ts';

// npm run -s overlays -- --overlay production < outputs.json, where outputs.json is what `tofu output -json` prints in infra/aws/environments/prod.

const { values } = parseArgs({ options: { overlay: { type: 'string' } } });
const name = values.overlay ?? '';
if (!/^[a-z0-9-]+$/.test(name) || !existsSync(assetPath(`k8s/overlays/${name}/config.yaml`))) {
  process.stderr.write(
    `--overlay "${name}" is no folder of k8s/overlays with a config.yaml: take staging, production or a copy of one\n`,
  );
  process.exitCode = 2;
} else {
  const folder = assetPath(`k8s/overlays/${name}`);
  for (const file of await writeOverlay(folder, parseOutputs(readFileSync(0, 'utf8')))) {
    process.stdout.write(`k8s/overlays/${name}/${file}\n`);
  }
}
