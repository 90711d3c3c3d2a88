import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, type FSWatcher, watch } from 'node:fs';
import { basename, join, sep } from 'node:path';
import { promisify } from 'node:util';
import { environment } from '#configs/environment';
import { assetPath } from '#kernel/project_root';
import type { ProjectSpec } from '../project/define_config.ts';
import { projectFolder, requireConfigFile } from '../project/loading/find_project.ts';
import { loadDefinitions } from '../project/project.ts';
import type { Role } from '../terminal/choices.ts';
import { print } from '../terminal/print.ts';

/** Editors write a file in several steps: a change counts when nothing more has come for so long, ms. */
const QUIET_MS = 150;
/** A platform that does not stop within so long is ended, ms. */
const STOP_MS = 30_000;
const PROGRAM = assetPath('dist/cli/headwater.js');

/**
 * `headwater dev`: runs the platform and starts it again when a file of the project changes. State is kept: the pipeline stops with a snapshot and
 * resumes from it. Definitions are checked first; while they are wrong, the platform that runs stays.
 */
export async function dev({ role }: { readonly role?: readonly Role[] }): Promise<void> {
  const folder = projectFolder();
  requireConfigFile(folder);
  const args = role === undefined ? [] : ['--role', role.join(',')];
  const server = new DevServer(args);
  const watcher = new ProjectWatcher(folder, await watchedPlaces(folder), (files) => void server.reload(files));
  await server.start();
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
  watcher.close();
  await server.stop();
}

/** Folders and files whose changes count. */
async function watchedPlaces(folder: string): Promise<readonly string[]> {
  const spec: ProjectSpec = await loadDefinitions(folder).then(
    (project) => project.spec,
    () => ({}),
  );
  const { features = 'features', models = 'models', pipelines = 'pipelines', configs = 'configs' } = spec;
  return [features, models, pipelines, configs].flat();
}

class ProjectWatcher {
  readonly #watchers: FSWatcher[] = [];
  readonly #changed = new Set<string>();
  readonly #onChange: (files: readonly string[]) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(folder: string, places: readonly string[], onChange: (files: readonly string[]) => void) {
    this.#onChange = onChange;
    for (const place of places) {
      const path = join(folder, place);
      if (!existsSync(path)) continue;
      this.#watchers.push(
        watch(path, { recursive: true }, (_, file) => this.#note(file === null ? place : join(place, String(file)))),
      );
    }
    // Files beside them: headwater.config.ts, .env, folders that are made later.
    this.#watchers.push(
      watch(folder, (_, file) => {
        if (file !== null && /^headwater\.config\.|^\.env$|^package\.json$/.test(String(file)))
          this.#note(String(file));
      }),
    );
  }

  #note(file: string): void {
    if (/(^|[\\/])(\.|~|#)|\.(test|spec)\.[mc]?[tj]s$|~$/.test(basename(file)) || file.includes(`node_modules${sep}`))
      return;
    this.#changed.add(file);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const files = [...this.#changed];
      this.#changed.clear();
      this.#onChange(files);
    }, QUIET_MS);
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers) watcher.close();
  }
}

/** The platform as a process that is started again. */
class DevServer {
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  #work: Promise<void> = Promise.resolve();
  #isStopping = false;

  constructor(args: readonly string[]) {
    this.#args = args;
  }

  start(): Promise<void> {
    this.#work = this.#work.then(() => this.#start());
    return this.#work;
  }

  /** Checks the definitions, and starts the platform again where they are right; one reload at a time. */
  reload(files: readonly string[]): Promise<void> {
    this.#work = this.#work.then(async () => {
      if (this.#isStopping) return;
      print(`${files.slice(0, 3).join(', ')}${files.length > 3 ? `, and ${files.length - 3} more` : ''} changed`);
      const startedMs = performance.now();
      const problem = await definitionProblem();
      if (problem !== undefined) {
        process.stderr.write(
          `${problem}\n${this.#child === undefined ? 'waiting for a change' : 'the definitions of before stay in use'}\n`,
        );
        return;
      }
      await this.#end();
      await this.#start();
      print(`reloaded in ${((performance.now() - startedMs) / 1_000).toFixed(1)} s; state was kept`);
    });
    return this.#work;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#work.catch(() => {});
    await this.#end();
  }

  async #start(): Promise<void> {
    // A group of its own: Ctrl-C reaches this process, which stops it in order.
    const child = spawn(process.execPath, [...process.execArgv, PROGRAM, 'start', ...this.#args], {
      ...{ stdio: ['ignore', 'pipe', 'inherit'], detached: true },
    });
    this.#child = child;
    await new Promise<void>((resolve) => {
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        process.stdout.write(text.replace('Ctrl-C drains and stops', 'watching for changes; Ctrl-C stops'));
        if (/^ready;/m.test(text)) resolve();
      });
      child.once('exit', (code) => {
        if (this.#child === child) {
          this.#child = undefined;
          if (!this.#isStopping) process.stderr.write(`the platform ended with code ${code}; waiting for a change\n`);
        }
        resolve();
      });
    });
  }

  async #end(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(timer);
  }
}

/** Returns what is wrong with the definitions; undefined where nothing is. In a process of its own, since modules are loaded once. */
async function definitionProblem(): Promise<string | undefined> {
  try {
    await promisify(execFile)(process.execPath, [PROGRAM, 'features', 'validate'], { env: environment() });
    return undefined;
  } catch (error) {
    return ((error as { readonly stderr?: string }).stderr ?? String(error)).trim();
  }
}
