import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { glob } from 'tinyglobby';
import { assetPath } from '#kernel/project_root';
import { print } from '../terminal/print.ts';
import { type Deployment, DOCKERIGNORE, dockerfileOf, type ProjectFacts } from './templates.ts';

/** The project of the repository that its own manifests name: another takes its place. */
const EXAMPLE_IMAGE = 'headwater-fraud';
/** The base image of the example is built beside it; that of a project has the version of its package. */
const BASE_IMAGE = 'headwater:latest';

const WHAT: Readonly<Record<Deployment, { readonly name: string; readonly next: string }>> = {
  k8s: {
    name: 'manifests for Kubernetes',
    next: `Addresses, hosts and the secret store: k8s/overlays/production (k8s/README.md).
  k8s/deploy.sh production registry.example.com/NAME@sha256:…`,
  },
  compose: {
    name: 'files for Docker compose',
    next: `  cp .env.example .env, fill its empty lines, and docker compose up --build
  docker compose -f docker-compose.yml -f docker-compose.prod.yml up -d   # in production: passwords and keys from .env`,
  },
};

/**
 * Writes the files that deploy a project: manifests or compose files that take its image, and what watches it. A file that differs stays as it is, unless forced.
 *
 * @param root - folder of the project
 */
export async function writeDeployment(
  root: string,
  kind: Deployment,
  facts: Pick<ProjectFacts, 'name' | 'version'>,
  force: boolean,
): Promise<void> {
  const written: string[] = [];
  const kept: string[] = [];
  for (const [path, text] of Object.entries(await filesOf(kind, facts))) {
    const file = join(root, path);
    if (existsSync(file)) {
      if ((await readFile(file, 'utf8')) === text) continue;
      if (!force) {
        kept.push(path);
        continue;
      }
    }
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    if (path.endsWith('.sh')) await chmod(file, 0o755);
    written.push(path);
  }
  const at = relative(process.cwd(), root) || '.';
  if (written.length === 0) print(`${WHAT[kind].name} in ${at}: nothing to write`);
  else print(`${WHAT[kind].name} written in ${at}:\n${written.map((path) => `  ${path}`).join('\n')}`);
  if (kept.length > 0) {
    print(`kept, as they differ from what would be written (--force replaces them):`);
    print(kept.map((path) => `  ${path}`).join('\n'));
  }
  print(`\nThe image of the project, on the base image headwater:${facts.version}: docker build -t ${facts.name} .`);
  print(WHAT[kind].next.replaceAll('NAME', facts.name));
}

async function filesOf(
  kind: Deployment,
  facts: Pick<ProjectFacts, 'name' | 'version'>,
): Promise<Readonly<Record<string, string>>> {
  const from = assetPath(`dist/templates/deploy/${kind}`);
  const files: Record<string, string> = { Dockerfile: dockerfileOf(facts), '.dockerignore': DOCKERIGNORE };
  for (const path of (await glob(['**/*'], { cwd: from, dot: true })).sort()) {
    const text = await readFile(join(from, path), 'utf8');
    files[path] = text
      // Compose takes fewer characters in names of its projects than npm and registries do.
      .replace(`\nname: ${EXAMPLE_IMAGE}\n`, `\nname: ${facts.name.replaceAll(/[^a-z0-9_-]/g, '-')}\n`)
      .replaceAll(EXAMPLE_IMAGE, facts.name)
      .replaceAll(BASE_IMAGE, `headwater:${facts.version}`);
  }
  return files;
}
