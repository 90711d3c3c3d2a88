import { register } from 'node:module';
import { pathToFileURL } from 'node:url';
import { projectRoot } from '#kernel/project_root';
import type { ModuleFolders } from './module_hooks.ts';

const registered = new Set<string>();

/**
 * Lets this thread load a project's modules from their TypeScript sources; once for each folder.
 *
 * @param packages - whose node_modules are searched too; default: this package's
 */
export function useSourcesOf(project: string, packages: string = projectRoot): void {
  // From its own sources, whatever loads this module loads TypeScript.
  if (import.meta.url.endsWith('.ts') || registered.has(project)) return;
  registered.add(project);
  register('./module_hooks.js', { parentURL: import.meta.url, data: { project, packages } satisfies ModuleFolders });
}

/** Loads a module of a project whose sources this thread uses. */
export const loadModule = (file: string): Promise<Readonly<Record<string, unknown>>> =>
  import(pathToFileURL(file).href) as Promise<Readonly<Record<string, unknown>>>;
