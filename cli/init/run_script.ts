import { knownNames } from '#kernel/known_names';
import { projectFolder, requireConfigFile } from '../project/loading/find_project.ts';
import { loadModule } from '../project/loading/load_module.ts';
import { findModule, namesOfModules } from '../project/named_modules.ts';
import { UsageError } from '../terminal/usage_error.ts';

/**
 * `headwater scripts run NAME [args]`: runs a program of the project from its TypeScript sources. It finds the arguments behind its name in `process.argv`, as any program does, and
 * ends when it has nothing left to wait for.
 */
export async function runScript(name: string, args: readonly string[]): Promise<void> {
  requireConfigFile(projectFolder());
  const file = await findModule(name, 'scripts');
  if (file === undefined) {
    throw new UsageError(`there is no script "${name}"; ${knownNames(name, await namesOfModules('scripts'))}`);
  }
  process.argv.splice(1, Number.POSITIVE_INFINITY, file, ...args);
  await loadModule(file);
}
