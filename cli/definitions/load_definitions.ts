import { execFile } from 'node:child_process';
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { DefinitionSet } from '#feature_store/definitions/sets/definition_set';
import { DefinitionsNotLoadedError } from './definition_errors.ts';

const LONGEST_MS = 120_000;

/**
 * Reads the definitions of a project from its sources, in a process of its own: two versions of a project do not share modules.
 *
 * @param folder - of the project
 * @param packages - the folder whose node_modules the sources use
 * @throws {@link DefinitionsNotLoadedError}
 */
export async function definitionsOfFolder(folder: string, packages: string): Promise<DefinitionSet> {
  const project = await realpath(folder);
  const temporary = await mkdtemp(join(tmpdir(), 'headwater-definitions-'));
  const output = join(temporary, 'definitions.json');
  const program = fileURLToPath(
    new URL(`./definitions_process${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
  );
  try {
    await promisify(execFile)(process.execPath, [program, project, packages, output], {
      ...{ cwd: project, timeout: LONGEST_MS, maxBuffer: 2 ** 26 },
    });
    return JSON.parse(await readFile(output, 'utf8')) as DefinitionSet;
  } catch (error) {
    const { stderr, message } = error as Error & { readonly stderr?: string };
    throw new DefinitionsNotLoadedError(folder, (stderr ?? '').trim() || message, error);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}
