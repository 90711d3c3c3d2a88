import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '#kernel/errors';
import { assetPath } from '#kernel/project_root';
import { freePort } from '#scripts/services/managed_process';
import { type Usage, usageOf } from '#scripts/services/process_usage';
import type { ApiServer } from '../deployment/api_server.ts';

const LOOK_MS = 500;
/** Name, phase and time of deletion. */
const POD_LINES =
  'jsonpath={range .items[*]}{.metadata.name} {.status.phase} {.metadata.deletionTimestamp}{"\\n"}{end}';

/** What the container of a pod runs. */
export interface Workload {
  /** The label `app.kubernetes.io/component` of its pods. */
  readonly component: string;
  /** Of `headwater`. */
  readonly args: readonly string[];
  /** The environment of a pod's process. */
  env(pod: string): NodeJS.ProcessEnv;
  /** The variable with the port it listens on. */
  readonly portVariable: string;
}

interface Pod {
  readonly child: ChildProcess;
  readonly url: string;
  isReady: boolean;
}

/**
 * Runs a process on this machine for each pod of a workload that runs, as its kubelet would: nodes that are played start no containers. A pod that is deleted
 * drains its process.
 */
export class PodsAsProcesses {
  readonly #api: ApiServer;
  readonly #workload: Workload;
  readonly #onReady: (urls: readonly string[]) => Promise<void>;
  readonly #pods = new Map<string, Pod>();
  readonly #ended = new AbortController();
  readonly #work: Promise<void>;
  #problem: string | undefined;

  /** @param onReady - called with the listeners of all processes that are ready, whenever there are others */
  constructor(
    api: ApiServer,
    workload: Workload,
    onReady: (urls: readonly string[]) => Promise<void> = async () => {},
  ) {
    this.#api = api;
    this.#workload = workload;
    this.#onReady = onReady;
    this.#work = this.#loop();
  }

  get component(): string {
    return this.#workload.component;
  }

  /** Listeners of processes that are ready. @throws Error with what a process has printed that ended by itself */
  get urls(): readonly string[] {
    if (this.#problem !== undefined) throw new Error(this.#problem);
    return [...this.#pods.values()].flatMap(({ url, isReady }) => (isReady ? [url] : []));
  }

  /** Returns what the process of each pod has used that is ready, by the pod's name: autoscalers leave out what takes its time to start. */
  async usage(): Promise<ReadonlyMap<string, Usage>> {
    const ready = [...this.#pods].filter(([, { isReady }]) => isReady);
    const found = await Promise.all(ready.map(async ([name, { child }]) => [name, await usageOf(child.pid)] as const));
    return new Map(found.flatMap(([name, usage]) => (usage === undefined ? [] : [[name, usage] as const])));
  }

  async stop(): Promise<void> {
    this.#ended.abort();
    await this.#work;
    await Promise.all([...this.#pods.keys()].map((name) => this.#end(name)));
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
    const selector = `app.kubernetes.io/component=${this.component}`;
    const list = await this.#api.kubectl('get', 'pods', '--namespace', 'headwater', '-l', selector, '-o', POD_LINES);
    const lines = list.split('\n').map((line) => line.split(' '));
    const running = new Set(
      lines.flatMap(([name = '', phase, deletedAt]) => (phase === 'Running' && deletedAt === '' ? [name] : [])),
    );
    for (const name of running) if (!this.#pods.has(name)) await this.#start(name);
    for (const name of this.#pods.keys()) if (!running.has(name)) void this.#end(name);
    for (const pod of this.#pods.values()) {
      if (pod.isReady) continue;
      pod.isReady = await fetch(`${pod.url}/health/ready`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (pod.isReady) await this.#onReady(this.urls);
    }
  }

  async #start(name: string): Promise<void> {
    const { args, env, portVariable } = this.#workload;
    const port = await freePort();
    const child = spawn(process.execPath, [assetPath('dist/cli/headwater.js'), ...args], {
      ...{ env: { ...env(name), [portVariable]: String(port) }, stdio: ['ignore', 'pipe', 'pipe'] },
    });
    this.#pods.set(name, { child, url: `http://127.0.0.1:${port}`, isReady: false });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output = (output + chunk.toString()).slice(-2_000);
      });
    }
    child.once('exit', (code, signal) => {
      if (this.#pods.has(name)) this.#problem ??= `the process of ${name} ended with ${signal ?? code}: ${output}`;
    });
  }

  async #end(name: string): Promise<void> {
    const pod = this.#pods.get(name);
    if (pod === undefined) return;
    this.#pods.delete(name);
    await this.#onReady(this.urls);
    const { child } = pod;
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
}
