import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from '@jest/globals';
import { freePort } from '#connectors/http/free_port';
import { assetPath } from '#kernel/project_root';
import { progress, runCommand, secondsSince, userEnvironment } from '#scripts/building/installed_package';

// Follows pages of docs/ as a reader does: writes each file and runs each command of the page, in order, in an empty folder, with the tarball as the package.

type Step =
  | { readonly kind: 'file'; readonly path: string; readonly content: string }
  | { readonly kind: 'run' | 'background' | 'elsewhere'; readonly commands: readonly string[] };

/** How blocks of commands are marked; what runs `elsewhere` needs what tests do not have, such as Docker, and the test lists it. */
const KINDS: Readonly<Record<string, 'run' | 'background' | 'elsewhere'>> = {
  bash: 'run',
  'bash background': 'background',
  'bash elsewhere': 'elsewhere',
};

/** Returns every code block of a page as a step. A block that is neither file nor command cannot be followed. */
function stepsOf(page: string): readonly Step[] {
  return [...page.matchAll(/^```([^\n]*)\n([\s\S]*?)^```$/gm)].map(([, info = '', content = '']) => {
    const [, path] = /^\w+ file=(\S+)$/.exec(info) ?? [];
    if (path !== undefined) return { kind: 'file', path, content };
    const kind = KINDS[info];
    if (kind === undefined) throw new Error(`the block "${info}" is neither a file nor a command:\n${content}`);
    return { kind, commands: content.trim().split('\n') };
  });
}

/** Settings of ports, and the ports that pages name. */
const PORTS = { GATEWAY_PORT: 8080, FEATURE_API_PORT: 8083, API_PORT: 8000, PIPELINE_PORT: 8082, MONITOR_PORT: 8084 };
/** What programs print when they have started. */
const READY = /^ready;|^workers for |Application startup complete/m;

export interface Place {
  /** Where pages are followed. */
  readonly folder: string;
  /** Installed where pages install headwater. */
  readonly tarball: string;
  /** What stands in pages for what a reader has, by what the test has; of commands alone. */
  readonly instead?: Readonly<Record<string, string>>;
  /** Commands that the package does not have yet, where it is of a release before the pages. */
  readonly leftOut?: readonly string[];
  /** What a reader's servers do not need, and those of the tests do. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Follows pages one after the other, and keeps what they have started until {@link end}. */
export class Reader {
  /** What each command has printed. */
  readonly printed = new Map<string, string>();
  /** Commands that were not run, as they need what there is not here. */
  readonly elsewhere: string[] = [];
  #cwd: string;
  readonly #env: Record<string, string | undefined>;
  readonly #instead: Map<string, string>;
  readonly #leftOut: readonly string[];
  readonly #started = new Map<string, ChildProcess>();

  private constructor(
    { folder, env = {}, leftOut = [] }: Place,
    instead: Map<string, string>,
    ports: Record<string, string>,
  ) {
    this.#cwd = folder;
    this.#env = { ...userEnvironment, ...ports, ...env };
    this.#instead = instead;
    this.#leftOut = leftOut;
  }

  static async in(place: Place): Promise<Reader> {
    const ports: Record<string, string> = {};
    const instead = new Map(Object.entries(place.instead ?? {}));
    for (const [name, port] of Object.entries(PORTS)) {
      ports[name] = String(await freePort());
      instead.set(`localhost:${port}`, `127.0.0.1:${ports[name]}`);
    }
    instead.set('--package=headwater ', `--package=${place.tarball} `);
    await mkdir(place.folder, { recursive: true });
    return new Reader(place, instead, ports);
  }

  /** The tarball instead of the registry's package, free ports instead of the usual ones, and what the test says; nothing else of a page is changed. */
  #adapted(command: string): string {
    return [...this.#instead].reduce((changed, [text, own]) => changed.replaceAll(text, own), command);
  }

  async follow(...pages: readonly string[]): Promise<void> {
    for (const page of pages) {
      for (const step of stepsOf(readFileSync(assetPath(`docs/${page}.md`), 'utf8'))) await this.#take(step);
    }
  }

  async #take(step: Step): Promise<void> {
    if (step.kind === 'file') {
      expect([step.path, isAbsolute(step.path) || normalize(step.path).startsWith('..')]).toEqual([step.path, false]);
      await mkdir(dirname(join(this.#cwd, step.path)), { recursive: true });
      await writeFile(join(this.#cwd, step.path), step.content);
      return;
    }
    for (const command of step.commands) {
      if (this.#leftOut.includes(command)) continue;
      const [, folder] = /^cd (\S+)$/.exec(command) ?? [];
      const [, name, value = ''] = /^export (\w+)=(\S*)$/.exec(this.#adapted(command)) ?? [];
      if (step.kind === 'elsewhere') this.elsewhere.push(command);
      else if (folder !== undefined) this.#cwd = join(this.#cwd, folder);
      else if (name !== undefined) this.#env[name] = value;
      else if (step.kind === 'background') await this.#start(command);
      else this.printed.set(command, await this.#run(command));
    }
  }

  #run(command: string): Promise<string> {
    const options = { cwd: this.#cwd, env: this.#env, as: command.slice(0, 110) };
    return runCommand('bash', ['-c', this.#adapted(command)], options);
  }

  /** Starts a command that stays up, and returns when it is ready. One that runs already is stopped before, as a reader does who starts it again. */
  async #start(command: string): Promise<void> {
    await this.#stop(command);
    const startedMs = performance.now();
    const started = spawn('bash', ['-c', `exec ${this.#adapted(command)}`], {
      ...{ cwd: this.#cwd, env: this.#env as NodeJS.ProcessEnv, stdio: ['ignore', 'pipe', 'pipe'], detached: true },
    });
    this.#started.set(command, started);
    let output = '';
    for (const stream of [started.stdout, started.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        output += String(chunk);
      });
    }
    for (let tries = 0; tries < 6_000 && !READY.test(output) && started.exitCode === null; tries += 1) await sleep(100);
    expect(output).toMatch(READY);
    progress(`${command}: ready in ${secondsSince(startedMs)}`);
  }

  async #stop(command: string): Promise<void> {
    const started = this.#started.get(command);
    this.#started.delete(command);
    if (started?.pid === undefined || started.exitCode !== null) return;
    process.kill(-started.pid, 'SIGINT');
    await once(started, 'exit');
  }

  /** Returns what the command with this part has printed, as JSON. */
  answerOf(part: string): Record<string, unknown> {
    return JSON.parse(this.outputOf(part)) as Record<string, unknown>;
  }

  /** Returns what the command with this part has printed; of several the last. */
  outputOf(part: string): string {
    const command = [...this.printed.keys()].filter((each) => each.includes(part)).at(-1);
    expect([part, command]).toEqual([part, expect.any(String)]);
    return this.printed.get(command as string) as string;
  }

  /** Stops what pages have started, the newest first. */
  async end(): Promise<void> {
    for (const command of [...this.#started.keys()].reverse()) await this.#stop(command);
  }
}
