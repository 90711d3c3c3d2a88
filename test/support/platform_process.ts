import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { assetPath, projectRoot } from '#kernel/project_root';

export interface PlatformUrls {
  readonly gateway: string;
  readonly features: string;
  readonly serving: string;
  readonly pipeline: string;
  readonly monitor: string;
}

const READY_WITHIN_MS = 240_000;

/** `headwater start` as a process of its own, on free ports. */
export class PlatformProcess {
  readonly urls: PlatformUrls;
  readonly #child: ChildProcess;
  readonly #output: () => string;

  private constructor(child: ChildProcess, urls: PlatformUrls, output: () => string) {
    this.#child = child;
    this.urls = urls;
    this.#output = output;
  }

  static async start(
    dataDirectory: string,
    env: Readonly<Record<string, string>> = {},
    program = assetPath('dist/cli/headwater.js'),
  ): Promise<PlatformProcess> {
    const child = spawn(process.execPath, [program, 'start'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        HEADWATER_PROJECT: projectRoot,
        NODE_OPTIONS: '',
        DATA_DIRECTORY: dataDirectory,
        GATEWAY_PORT: '0',
        PIPELINE_PORT: '0',
        FEATURE_API_PORT: '0',
        MONITOR_PORT: '0',
        API_PORT: '0',
        LOG_LEVEL: 'warn',
        ...env,
      },
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

  /** As a crash does it: no handler runs. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
  }

  /** @returns the exit code after SIGTERM */
  async terminate(): Promise<number | null> {
    this.#child.kill('SIGTERM');
    if (this.#child.exitCode === null) await once(this.#child, 'exit');
    return this.#child.exitCode;
  }

  get output(): string {
    return this.#output();
  }
}
