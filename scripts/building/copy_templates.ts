import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { assetPath } from '#kernel/project_root';

// Part of `npm run build`: what `headwater init` and `headwater generate` write, as the package carries it.

for (const name of ['fraud', 'activity', 'market']) {
  const to = assetPath(`dist/templates/${name}`);
  rmSync(to, { recursive: true, force: true });
  cpSync(assetPath(`examples/${name}`), to, { recursive: true });
}

// What `headwater init --deploy` writes: the manifests and compose files of this repository, with what watches a platform.
const MONITORING = ['prometheus', 'alertmanager', 'grafana'];
const OF_THE_OPERATORS = ['kustomization.yaml', 'kubernetes.yaml'];
const DEPLOY = 'dist/templates/deploy';
rmSync(assetPath(DEPLOY), { recursive: true, force: true });
cpSync(assetPath('k8s'), assetPath(`${DEPLOY}/k8s/k8s`), {
  recursive: true,
  filter: (path) => !basename(path).startsWith('.'),
});
cpSync(assetPath('scripts/building/deploy_readme.md'), assetPath(`${DEPLOY}/k8s/k8s/README.md`));
for (const [kind, parts] of [
  ['k8s', [...MONITORING, ...OF_THE_OPERATORS]],
  ['compose', MONITORING],
] as const) {
  for (const part of parts) {
    cpSync(assetPath(`monitoring/${part}`), assetPath(`${DEPLOY}/${kind}/monitoring/${part}`), {
      recursive: true,
      filter: (path) => !path.endsWith('.ts') && basename(path) !== 'tests',
    });
  }
}
// A project has one image, of its own Dockerfile; emulators and Flink are for work on headwater itself.
const NOT_OF_PROJECTS = ['headwater', 'pubsub', 'kinesis', 'aws', 'flink', 'flink-tasks', 'flink-jobs', 'workers'];
const CHANGED = [
  [
    /^ {2}build: \{ context: examples.*$/m,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: Compose replaces it
    "  build: { context: ., args: { BASE_IMAGE: '${BASE_IMAGE:-headwater:latest}' } }",
  ],
  [/^name: headwater$/m, 'name: headwater-fraud'],
  [/^# docker-compose\.dev\.yml over it reloads what is edited; /m, '# '],
] as const;
for (const name of ['docker-compose.yml', 'docker-compose.prod.yml']) {
  let text = readFileSync(assetPath(name), 'utf8');
  for (const service of NOT_OF_PROJECTS) {
    text = text.replace(new RegExp(`^  ${service}:.*\\n(?:(?: {3,}.*)?\\n)*`, 'm'), '');
  }
  for (const [found, instead] of CHANGED) text = text.replace(found, instead);
  writeFileSync(assetPath(`${DEPLOY}/compose/${name}`), text);
}
cpSync(assetPath('.env.example'), assetPath(`${DEPLOY}/compose/.env.example`));

// The client that `headwater generate client` writes: the modules of client/ that import no others, as one.
const CLIENT = ['errors', 'transport', 'turn_batch', 'vectors', 'view_client', 'ingest', 'predictions'];
const modules = [...CLIENT, 'listeners', 'typed_client', 'feedback_queue', 'indexed_db_reports'].map((name) =>
  readFileSync(assetPath(`client/${name}.ts`), 'utf8').replaceAll(/^import [^;]*;\n/gm, ''),
);
writeFileSync(assetPath('dist/templates/client.ts'), modules.join('\n'));
