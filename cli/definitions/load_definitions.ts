import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { DefinitionSet } from '#feature_store/definitions/definition_set';
import { DefinitionsNotLoadedError } from './definition_errors.ts';

/** Where a project lists its definitions. */
export const CATALOG = 'feature_store/views/catalog.ts';

const LONGEST_MS = 120_000;

/**
 * Reads the definitions of a project from its sources, in a process of its own: two versions of a project do not share modules.
 *
 * @param folder - of the project
 * @param catalog - the module that exports VIEWS, and ON_DEMAND_VIEWS and SERVICES where there are any
 * @param packages - the folder whose node_modules the sources use
 * @throws {@link DefinitionsNotLoadedError}
 */
export async function loadDefinitions(folder: string, catalog: string, packages: string): Promise<DefinitionSet> {
  const project = await realpath(folder);
  if (!existsSync(join(project, catalog))) throw new DefinitionsNotLoadedError(catalog, 'the file does not exist');
  const temporary = await mkdtemp(join(tmpdir(), 'headwater-definitions-'));
  const output = join(temporary, 'definitions.json');
  const program = fileURLToPath(
    new URL(`./definitions_process${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url),
  );
  try {
    await promisify(execFile)(process.execPath, [program, project, catalog, packages, output], {
      ...{ cwd: project, timeout: LONGEST_MS, maxBuffer: 2 ** 26 },
    });
    return JSON.parse(await readFile(output, 'utf8')) as DefinitionSet;
  } catch (error) {
    const { stderr, message } = error as Error & { readonly stderr?: string };
    throw new DefinitionsNotLoadedError(catalog, (stderr ?? '').trim() || message, error);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}
