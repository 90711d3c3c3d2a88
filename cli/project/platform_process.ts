import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { environment } from '#configs/environment';
import { freePort } from '#connectors/http/free_port';
import { assetPath } from '#kernel/project_root';
import { projectFolder } from './loading/find_project.ts';

/** Where the roles of a running platform listen. */
export interface PlatformUrls {
  readonly gateway: string;
  readonly features: string;
  readonly serving: string;
  readonly pipeline: string;
  readonly monitor: string;
}

const READY_WITHIN_MS = 240_000;
const MOST_OUTPUT_BYTES = 2 ** 26;

type Settings = Readonly<Record<string, string>>;

const programOf = (): string => assetPath('dist/cli/headwater.js');

const environmentOf = (dataDirectory: string, settings: Settings): NodeJS.ProcessEnv => ({
  ...environment(),
  HEADWATER_PROJECT: projectFolder(),
  NODE_OPTIONS: '',
  // Of Node's test runner: a child that has it reports in the runner's own format.
  NODE_TEST_CONTEXT: undefined,
  DATA_DIRECTORY: dataDirectory,
  GATEWAY_PORT: '0',
  PIPELINE_PORT: '0',
  FEATURE_API_PORT: '0',
  MONITOR_PORT: '0',
  API_PORT: '0',
  LOG_LEVEL: 'warn',
  ...settings,
});

/** `headwater start` as a process of its own, on free ports: for tests of a project from end to end. */
export class PlatformProcess {
  readonly urls: PlatformUrls;
  readonly #child: ChildProcess;
  readonly #output: () => string;

  private constructor(child: ChildProcess, urls: PlatformUrls, output: () => string) {
    this.#child = child;
    this.urls = urls;
    this.#output = output;
  }

  /**
   * Runs a command of `headwater` on the project of this process.
   *
   * @param dataDirectory - where the platform keeps its data
   * @param args - such as `['train', 'churn', '--register']`
   * @param env - settings beside those of this process
   * @returns what it prints
   * @throws Error with what it prints as an error, when it fails
   */
  static async command(dataDirectory: string, args: readonly string[], env: Settings = {}): Promise<string> {
    const { stdout } = await promisify(execFile)(process.execPath, [programOf(), ...args], {
      ...{ env: environmentOf(dataDirectory, env), maxBuffer: MOST_OUTPUT_BYTES },
    });
    return stdout;
  }

  /** Returns a port of this machine that is free, for a listener whose address must be known before the platform starts. */
  static async freePort(): Promise<number> {
    return freePort();
  }

  /**
   * Runs a workflow of the project on the platform that has this data, and returns its output.
   *
   * @param env - settings beside those of this process
   * @throws Error with the run's error and cause, when it does not succeed
   */
  static async runWorkflow(
    dataDirectory: string,
    name: string,
    input: object = {},
    env: Settings = {},
  ): Promise<unknown> {
    const args = ['workflows', 'run', name, '--input', JSON.stringify(input), '--wait', '--json'];
    const run = JSON.parse(await PlatformProcess.command(dataDirectory, args, env)) as { readonly output: unknown };
    return run.output;
  }

  /**
   * Starts all roles of the project of this process, and returns when they are ready.
   *
   * @param dataDirectory - where the platform keeps its data
   * @param env - settings beside those of this process
   * @throws Error with the output, when it does not start within four minutes
   */
  static async start(dataDirectory: string, env: Settings = {}, program = programOf()): Promise<PlatformProcess> {
    const child = spawn(process.execPath, [program, 'start'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environmentOf(dataDirectory, env),
    });
    let output = '';
    const collect = (chunk: Buffer): void => {
      output += chunk.toString('utf8');
    };
    child.stdout?.on('data', collect);
    child.stderr?.on('data', collect);
    const giveUpAt = Date.now() + READY_WITHIN_MS;
    while (!/^ready;/m.test(output)) {
      if (child.exitCode !== null || Date.now() > giveUpAt) {
        child.kill('SIGKILL');
        throw new Error(`the platform did not start:\n${output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const url = (label: string): string => new RegExp(`^${label}\\s+(http\\S+)$`, 'm').exec(output)?.[1] ?? '';
    const urls = {
      ...{ gateway: url('ingestion gateway'), features: url('feature API'), serving: url('model serving') },
      ...{ pipeline: url('pipeline health and metrics'), monitor: url('drift and quality of models') },
    };
    return new PlatformProcess(child, urls, () => output);
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Ends it as a crash does: no handler runs. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
  }

  /** Stops it in order. @returns the exit code after SIGTERM */
  async terminate(): Promise<number | null> {
    this.#child.kill('SIGTERM');
    if (this.#child.exitCode === null) await once(this.#child, 'exit');
    return this.#child.exitCode;
  }

  /** What it has printed until now. */
  get output(): string {
    return this.#output();
  }
}
