import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ImageConfig } from './buildah.ts';

// As Compose starts a role: read_only, tmpfs on /tmp, a volume for /data, cap_drop ALL, no-new-privileges, the image's user and environment, the process as PID 1. The network is this
// machine's, and there is no seccomp filter: both need a container engine.

const SCRIPT = `set -e
mount --bind "$ROOT" "$ROOT"
mount --types proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount --types tmpfs --options mode=1777 tmpfs "$ROOT/tmp"
mount --bind "$DATA" "$ROOT/data"
mount --options remount,bind,ro "$ROOT"
user=$1
folder=$2
shift 2
exec chroot "$ROOT" setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs --bounding-set=-all env --ignore-environment --chdir="$folder" "$@"`;

export interface ContainerOptions {
  readonly root: string;
  readonly config: ImageConfig;
  /** Folder that is mounted at /data. */
  readonly data: string;
  readonly env: Readonly<Record<string, string>>;
}

/** A process in an image. */
export class Container {
  readonly #child: ChildProcess;
  #output = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString('utf8')).slice(-20_000);
      });
    }
  }

  /** Starts a command, which may write to /tmp and /data alone. */
  static async start(command: readonly string[], { root, config, data, env }: ContainerOptions): Promise<Container> {
    await mkdir(data, { recursive: true });
    await once(spawn('chown', [`${config.User}:${config.User}`, data], { stdio: 'ignore' }), 'exit');
    // An engine sets it to the home of the user.
    const variables = [
      'HOME=/home/node',
      ...config.Env,
      ...Object.entries(env).map(([key, value]) => `${key}=${value}`),
    ];
    const namespaces = ['--mount', '--pid', '--fork', '--kill-child'];
    const args = [...namespaces, 'sh', '-c', SCRIPT, 'sh', config.User, config.WorkingDir, ...variables, ...command];
    const child = spawn('unshare', args, {
      ...{ stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH ?? '', ROOT: root, DATA: data } },
    });
    await once(child, 'spawn');
    return new Container(child);
  }

  /** Waits for the end. @returns the exit code and the end of the output */
  async ended(): Promise<{ readonly code: number | null; readonly output: string }> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'close');
    return { code: this.#child.exitCode, output: this.#output };
  }

  /** Asks until an address answers with 200. @throws with the end of the output when the process ends, or does not answer in time */
  async answers(url: string, withinMs: number): Promise<void> {
    const giveUpAt = Date.now() + withinMs;
    for (;;) {
      const status = await fetch(url).then(
        (response) => response.status,
        () => undefined,
      );
      if (status === 200) return;
      if (this.#child.exitCode !== null || Date.now() > giveUpAt) {
        throw new Error(`${url} answers ${status ?? 'nothing'}:\n${this.#output}`);
      }
      await sleep(200);
    }
  }

  /** Sends a signal to the process itself, which is PID 1 in there. */
  async signal(signal: NodeJS.Signals): Promise<void> {
    const { pid } = this.#child;
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
    const first = Number.parseInt(children, 10);
    if (Number.isInteger(first)) process.kill(first, signal);
  }

  /** Ends it as an engine does: the image's signal, and SIGKILL after the grace. @returns the exit code, and how long it took */
  async stop(stopSignal: string, graceMs: number): Promise<{ readonly code: number | null; readonly ms: number }> {
    const startedMs = performance.now();
    await this.signal(stopSignal as NodeJS.Signals);
    const killing = setTimeout(() => this.#child.kill('SIGKILL'), graceMs);
    const { code } = await this.ended();
    clearTimeout(killing);
    return { code, ms: performance.now() - startedMs };
  }
}
