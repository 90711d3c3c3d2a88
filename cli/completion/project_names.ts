import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { environment } from '#configs/environment';
import { assetPath } from '#kernel/project_root';
import { configFileOf, projectFolder } from '../project/loading/find_project.ts';
import { fingerprintOf } from './project_files.ts';

/** Kinds of names that a shell completes from the project. */
export const NAME_KINDS = [
  ...(['views', 'features', 'services', 'models', 'sources', 'pipelines', 'workflows', 'schedules', 'topics'] as const),
];
export type NameKind = (typeof NAME_KINDS)[number];

/** Names of a project, by kind; a kind that could not be loaded is absent. */
export type ProjectNames = Readonly<Partial<Record<NameKind, readonly string[]>>>;

/** What a folder's cache holds. */
export interface CachedNames {
  /** Of the files that the names were loaded from. */
  readonly fingerprint: string;
  readonly names: ProjectNames;
}

/** A load of names that has taken so long was ended from outside; ms. */
const LOADED_WITHIN_MS = 60_000;

/** Returns the file that keeps the names of the project in a folder. */
export function cacheFileOf(folder: string): string {
  const directory = join(environment().HEADWATER_CACHE ?? assetPath('.cache'), 'completion');
  mkdirSync(directory, { recursive: true });
  return join(directory, `${createHash('sha256').update(folder).digest('hex').slice(0, 16)}.json`);
}

/** Returns what a folder's cache holds; undefined when there is none. */
export function readCachedNames(file: string): CachedNames | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as CachedNames;
  } catch {
    return undefined;
  }
}

/**
 * Returns the names of one kind of the project that a command would use, as they were loaded last, without waiting: loading a project's TypeScript takes seconds. When its files have
 * changed since, a process of its own loads the names for the next completion. Never throws: there is no place for an error in a prompt.
 */
export function projectNames(kind: NameKind): readonly string[] {
  try {
    const env = environment();
    const folder = projectFolder(env);
    if (configFileOf(folder) === undefined) return [];
    const file = cacheFileOf(folder);
    const cached = readCachedNames(file);
    if (cached?.fingerprint !== fingerprintOf(folder, env)) loadInBackground(file);
    return cached?.names[kind] ?? [];
  } catch {
    return [];
  }
}

/** Starts one process that loads the names, unless one is at it. */
function loadInBackground(file: string): void {
  const lock = `${file}.loading`;
  const startedMs = statSync(lock, { throwIfNoEntry: false })?.mtimeMs;
  if (startedMs !== undefined && Date.now() - startedMs > LOADED_WITHIN_MS) unlinkSync(lock);
  try {
    closeSync(openSync(lock, 'wx'));
  } catch {
    return;
  }
  const program = fileURLToPath(new URL('./load_names.js', import.meta.url));
  spawn(process.execPath, [program, file, lock], { detached: true, stdio: 'ignore' })
    .on('error', () => {})
    .unref();
}
