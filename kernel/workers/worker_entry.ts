import { fileURLToPath, pathToFileURL } from 'node:url';
import { projectRoot } from '../project_root.ts';

/**
 * Location of a compiled worker-thread entry point. Worker threads load plain JavaScript; when the caller itself runs
 * from TypeScript sources (Jest), the twin under `dist/` is used: run `npm run build` first.
 *
 * @param importMetaUrl - `import.meta.url` of the caller
 * @param entry - path relative to the caller, without extension: `./pglite_worker`
 */
export function workerEntry(importMetaUrl: string, entry: string): URL {
  const target = new URL(`${entry}.js`, importMetaUrl);
  if (!importMetaUrl.endsWith('.ts')) return target;
  return pathToFileURL(`${projectRoot}dist/${fileURLToPath(target).slice(projectRoot.length)}`);
}
