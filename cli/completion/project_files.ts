import { createHash } from 'node:crypto';
import { type Dirent, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment } from '#configs/environment';

/** What definitions and settings are read from. */
const FILE = /\.(?:[mc]?[jt]s|json|ya?ml)$/;
const LEFT_OUT: ReadonlySet<string> = new Set(['node_modules', 'dist', 'data', 'site']);
/** Of a folder that is larger, only so many files are looked at: a completion must not wait. */
const MOST_FILES = 5_000;

/** Settings that names depend on besides files. */
const VARIABLE = /^(?:ENVIRONMENT|NAMESPACE|\w+_TOPIC|FEATURE_STORE_BACKEND|INGEST_SINK)$/;

/** Returns a hash of the names, sizes and times of change of a project's files, and of the settings that names of the project depend on. */
export function fingerprintOf(folder: string, env: Environment): string {
  const hash = createHash('sha256');
  for (const name of Object.keys(env)
    .filter((variable) => VARIABLE.test(variable))
    .sort()) {
    hash.update(`${name}=${env[name]}\n`);
  }
  let files = 0;
  const folders = [folder];
  for (let at = folders.pop(); at !== undefined && files < MOST_FILES; at = folders.pop()) {
    for (const entry of entriesOf(at)) {
      const path = join(at, entry.name);
      if (entry.isDirectory()) {
        if (!entry.name.startsWith('.') && !LEFT_OUT.has(entry.name)) folders.push(path);
      } else if (FILE.test(entry.name)) {
        const found = statSync(path, { throwIfNoEntry: false });
        hash.update(`${path} ${found?.size} ${found?.mtimeMs}\n`);
        files += 1;
      }
    }
  }
  return hash.digest('hex');
}

function entriesOf(folder: string): readonly Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch {
    return [];
  }
}
