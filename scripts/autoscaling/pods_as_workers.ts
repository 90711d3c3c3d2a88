import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '#kernel/errors';
import { assetPath } from '#kernel/project_root';
import type { ApiServer } from '../deployment/api_server.ts';

const LOOK_MS = 500;
/** Name, phase and time of deletion. */
const POD_LINES =
  'jsonpath={range .items[*]}{.metadata.name} {.status.phase} {.metadata.deletionTimestamp}{"\\n"}{end}';
const URL_OF_WORKER = /^worker of workflows \S+: (http\S+)$/m;

/**
 * Runs a worker of workflows on this machine for each pod of the Deployment `workflows` that runs, as its kubelet would: nodes that are played start no
 * containers. A pod that is deleted drains its worker.
 */
export class PodsAsWorkers {
  readonly #api: ApiServer;
  readonly #env: NodeJS.ProcessEnv;
  readonly #onWorkers: (urls: readonly string[]) => Promise<void>;
  readonly #workers = new Map<string, { readonly child: ChildProcess; url: string | undefined }>();
  readonly #ended = new AbortController();
  readonly #work: Promise<void>;
  #problem: string | undefined;

  /** @param onWorkers - called with the listeners of all workers, whenever there are others */
  constructor(api: ApiServer, env: NodeJS.ProcessEnv, onWorkers: (urls: readonly string[]) => Promise<void>) {
    this.#api = api;
    this.#env = env;
    this.#onWorkers = onWorkers;
    this.#work = this.#loop();
  }

  /** Workers that are ready. @throws Error with what a worker has printed that ended by itself */
  get count(): number {
    if (this.#problem !== undefined) throw new Error(this.#problem);
    return [...this.#workers.values()].filter(({ url }) => url !== undefined).length;
  }

  async stop(): Promise<void> {
    this.#ended.abort();
    await this.#work;
    await Promise.all([...this.#workers.keys()].map((name) => this.#end(name)));
  }

  async #loop(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      await this.#look().catch((error) => {
        this.#problem ??= messageOf(error);
      });
      await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
    }
  }

  async #look(): Promise<void> {
    const list = await this.#api.kubectl(
      ...['get', 'pods', '--namespace', 'headwater', '-l', 'app.kubernetes.io/component=workflows', '-o', POD_LINES],
    );
    const lines = list.split('\n').map((line) => line.split(' '));
    const wanted = new Set(
      lines.flatMap(([name = '', phase, deletedAt]) => (phase === 'Running' && deletedAt === '' ? [name] : [])),
    );
    for (const name of wanted) if (!this.#workers.has(name)) this.#start(name);
    const gone = [...this.#workers.keys()].filter((name) => !wanted.has(name));
    for (const name of gone) void this.#end(name);
  }

  #start(name: string): void {
    const child = spawn(process.execPath, [assetPath('dist/cli/headwater.js'), 'workflows', 'worker'], {
      ...{ env: this.#env, stdio: ['ignore', 'pipe', 'pipe'] },
    });
    const worker: { child: ChildProcess; url: string | undefined } = { child, url: undefined };
    this.#workers.set(name, worker);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        if (worker.url !== undefined || !/^ready;/m.test(output)) return;
        worker.url = URL_OF_WORKER.exec(output)?.[1];
        void this.#report();
      });
    }
    child.once('exit', (code, signal) => {
      if (this.#workers.has(name))
        this.#problem ??= `worker of ${name} ended with ${signal ?? code}: ${output.slice(-1_000)}`;
    });
  }

  async #end(name: string): Promise<void> {
    const worker = this.#workers.get(name);
    if (worker === undefined) return;
    this.#workers.delete(name);
    await this.#report();
    const { child } = worker;
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  }

  #report(): Promise<void> {
    return this.#onWorkers([...this.#workers.values()].flatMap(({ url }) => url ?? []));
  }
}
