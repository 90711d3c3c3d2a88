import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { assetPath } from '#kernel/project_root';
import { projectFolder } from '../project/loading/find_project.ts';
import { loadDefinitions } from '../project/project.ts';
import { print } from '../terminal/print.ts';
import { clientDefinitions } from './client_types.ts';

const HEADER = `// Written by "headwater generate client": run it again when definitions change. It imports nothing, and needs fetch alone.
/* biome-ignore-all lint: generated */
/* eslint-disable */
`;

/** Returns a module that holds the client of a project. */
export async function clientSource(definitions: Parameters<typeof clientDefinitions>[0]): Promise<string> {
  const runtime = await readFile(assetPath('dist/templates/client.ts'), 'utf8');
  return `${HEADER}\n${clientDefinitions(definitions)}\n${runtime}`;
}

/** `headwater generate client`: a module for code that has no other part of the platform, such as a page or a function at the edge. */
export async function generateClient({ out }: { readonly out: string }): Promise<void> {
  const source = await clientSource(await loadDefinitions(projectFolder()));
  await mkdir(dirname(out), { recursive: true });
  await writeFile(`${out}.part`, source);
  await rename(`${out}.part`, out);
  print(out);
}
