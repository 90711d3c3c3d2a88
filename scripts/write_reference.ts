import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadPlatformConfig } from '#cli/project/platform_config';
import { startPlatform } from '#cli/roles/platform';
import { ROLES } from '#cli/terminal/choices';
import { assetPath } from '#kernel/project_root';
import { silentLogger } from '#monitoring/log';
import { configurationReference, featureReference, metricsReference, REFERENCE_FOLDER } from './reference.ts';

// npm run reference: docs/reference, from the code. Metrics are those of a platform that runs for a moment.
const folder = await mkdtemp(join(tmpdir(), 'reference-'));
const ports = ['GATEWAY_PORT', 'PIPELINE_PORT', 'FEATURE_API_PORT', 'API_PORT', 'MONITOR_PORT'];
const env = { DATA_DIRECTORY: folder, ...Object.fromEntries(ports.map((name) => [name, '0'])) };
const { services, urls } = await startPlatform(loadPlatformConfig(env), silentLogger, ROLES);
const texts = await Promise.all(ROLES.map(async (role) => (await fetch(`${urls[role]}/metrics`)).text()));
await services[Symbol.asyncDispose]();
await rm(folder, { recursive: true });

const pages = {
  configuration: configurationReference(),
  features: featureReference(),
  metrics: metricsReference(texts),
};
await mkdir(assetPath(REFERENCE_FOLDER), { recursive: true });
for (const [name, text] of Object.entries(pages)) {
  await writeFile(assetPath(`${REFERENCE_FOLDER}/${name}.md`), text);
  process.stdout.write(`${REFERENCE_FOLDER}/${name}.md\n`);
}
process.exit(0);
