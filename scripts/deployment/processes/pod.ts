import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Image } from './image.ts';
import type { Cluster, Probe, Workload } from './manifests.ts';

// A container as a process of this machine: the command, environment, files and probes are those of its manifest; the address is one of the loopback network, so that
// ports are those of the manifest as well.

export interface PodSpec {
  readonly name: string;
  readonly address: string;
  readonly workload: Workload;
  readonly cluster: Cluster;
  readonly image: Image;
  /** Of all pods; claims outlive them. */
  readonly folder: string;
}

/** Kubernetes' own, where a probe says none. */
const PROBE = { periodSeconds: 10, timeoutSeconds: 1, failureThreshold: 3 };
/** A container that fails is started again; here that is a failure of the rehearsal. */
const ENDED = 'its process ended';

export class Pod {
  readonly spec: PodSpec;
  readonly #child: ChildProcess;
  readonly #log: string;
  readonly #over = new AbortController();
  #isReady = false;
  #failure: string | undefined;

  private constructor(spec: PodSpec, child: ChildProcess, log: string) {
    this.spec = spec;
    this.#child = child;
    this.#log = log;
    child.once('exit', () => {
      this.#isReady = false;
      if (!this.#over.signal.aborted) this.#failure = ENDED;
    });
  }

  static async start(spec: PodSpec): Promise<Pod> {
    const { name, folder, image, workload } = spec;
    const [container] = workload.spec.template.spec.containers;
    const log = join(folder, `${name}-${image.name}.log`);
    const { env, translate } = await containerOf(spec);
    const [command = 'node', ...args] = [...image.entryPoint, ...container.args].map(translate);
    const child = spawn(command === 'node' ? process.execPath : command, args, {
      ...{ env, cwd: translate('/project'), stdio: ['ignore', 'pipe', 'pipe'] },
    });
    const output = createWriteStream(log, { flags: 'a' });
    child.stdout?.pipe(output, { end: false });
    child.stderr?.pipe(output, { end: false });
    const pod = new Pod(spec, child, log);
    void pod.#probe();
    return pod;
  }

  /** Takes connections of its Service. */
  get isReady(): boolean {
    return this.#isReady && !this.#over.signal.aborted;
  }

  /** What has gone wrong with it: its process ended, or a probe gave it up. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** @throws with the end of its log when it fails, or is not ready in time */
  async ready(withinMs: number): Promise<void> {
    const giveUpAt = Date.now() + withinMs;
    while (!this.isReady) {
      if (this.#failure !== undefined || Date.now() > giveUpAt) {
        const why = this.#failure ?? `it is not ready after ${withinMs / 1_000} s`;
        throw new Error(
          `${this.spec.name} of ${this.spec.image.name}: ${why}\n${(await readFile(this.#log, 'utf8')).slice(-3_000)}`,
        );
      }
      await sleep(100);
    }
  }

  /** Ends as a kubelet ends a pod: out of its Service, the hook, SIGTERM, and SIGKILL after the grace period. @returns the exit code; undefined where it had to be killed */
  async stop(): Promise<number | undefined> {
    this.#over.abort();
    if (this.#failure === ENDED) return this.#child.exitCode ?? undefined;
    const { containers, terminationGracePeriodSeconds } = this.spec.workload.spec.template.spec;
    const gone = once(this.#child, 'exit') as Promise<[number | null]>;
    const killing = new AbortController();
    const killed = sleep(terminationGracePeriodSeconds * 1_000, undefined, { signal: killing.signal }).then(
      () => this.#child.kill('SIGKILL'),
      () => false,
    );
    const [hook, ...args] = containers[0].lifecycle.preStop.exec.command as [string, ...string[]];
    await once(spawn(hook === 'node' ? process.execPath : hook, args, { stdio: 'ignore' }), 'exit');
    this.#child.kill('SIGTERM');
    const [code] = await gone;
    killing.abort();
    return (await killed) ? undefined : (code ?? undefined);
  }

  async #probe(): Promise<void> {
    const [{ startupProbe, readinessProbe, livenessProbe }] = this.spec.workload.spec.template.spec.containers;
    if (!(await this.#passes(startupProbe))) return;
    await Promise.all([this.#follow(readinessProbe, true), this.#follow(livenessProbe, false)]);
  }

  /** Until it answers; a pod that never does is given up. */
  async #passes(probe: Probe): Promise<boolean> {
    const { failureThreshold, periodSeconds } = { ...PROBE, ...probe };
    for (let failed = 0; failed < failureThreshold; failed += 1) {
      if (await this.#asks(probe)) return true;
      if (!(await this.#waits(periodSeconds))) return false;
    }
    this.#failure = 'its startup probe gave it up';
    return false;
  }

  async #follow(probe: Probe, decidesReady: boolean): Promise<void> {
    const { failureThreshold, periodSeconds } = { ...PROBE, ...probe };
    let failed = 0;
    do {
      failed = (await this.#asks(probe)) ? 0 : failed + 1;
      if (decidesReady && (failed === 0 || failed >= failureThreshold)) this.#isReady = failed === 0;
      if (!decidesReady && failed >= failureThreshold) this.#failure = 'its liveness probe gave it up';
    } while (await this.#waits(periodSeconds));
  }

  async #asks({ httpGet: { path, port }, timeoutSeconds = PROBE.timeoutSeconds }: Probe): Promise<boolean> {
    const [container] = this.spec.workload.spec.template.spec.containers;
    const number = container.ports.find(({ name }) => name === port)?.containerPort;
    const signal = AbortSignal.timeout(timeoutSeconds * 1_000);
    return fetch(`http://${this.spec.address}:${number}${path}`, { signal }).then(
      async (answer) => {
        await answer.arrayBuffer();
        return answer.status >= 200 && answer.status < 400;
      },
      () => false,
    );
  }

  #waits(seconds: number): Promise<boolean> {
    return sleep(seconds * 1_000, true, { signal: this.#over.signal }).catch(() => false);
  }
}

interface ContainerOnDisk {
  readonly env: NodeJS.ProcessEnv;
  /** Of a path, or of a text that begins with one. */
  translate(text: string): string;
}

/** Makes the files of a container, and the environment that names them. */
async function containerOf({ name, address, workload, cluster, image, folder }: PodSpec): Promise<ContainerOnDisk> {
  const { containers, volumes } = workload.spec.template.spec;
  const [container] = containers;
  const claims = new Set((workload.spec.volumeClaimTemplates ?? []).map(({ metadata }) => metadata.name));
  const mounts: [string, string][] = Object.entries(image.folders);
  for (const { name: volumeName, mountPath } of container.volumeMounts) {
    const volume = volumes.find((each) => each.name === volumeName);
    const isClaim = claims.has(volumeName);
    const place = volume?.persistentVolumeClaim?.claimName ?? (isClaim ? `${volumeName}-${name}` : undefined);
    const at = join(folder, place ?? `${name}-${image.name}-${volumeName}`);
    await mkdir(at, { recursive: true });
    mounts.push([mountPath, at]);
    if (volume?.secret === undefined) continue;
    const { secretName, optional = false } = volume.secret;
    const secret = cluster.secrets.get(secretName);
    if (secret === undefined && !optional) throw new Error(`${name} needs the Secret ${secretName}, which is missing`);
    for (const [key, value] of Object.entries(secret ?? {})) await writeFile(join(at, key), value, { mode: 0o440 });
  }
  // The longest path first: a folder may be mounted in another.
  mounts.sort(([one], [other]) => other.length - one.length);
  const translate = (text: string): string => {
    if (text === '0.0.0.0') return address;
    const mount = mounts.find(([path]) => text === path || text.startsWith(`${path}/`));
    return mount === undefined ? text : `${mount[1]}${text.slice(mount[0].length)}`;
  };
  const variables: Record<string, string> = { ...image.env };
  for (const { configMapRef } of container.envFrom ?? []) {
    Object.assign(variables, cluster.configMaps.get(configMapRef.name));
  }
  for (const { name: variable, value, valueFrom } of container.env ?? []) {
    const { name: secret = '', key = '', optional = false } = valueFrom?.secretKeyRef ?? {};
    const found = value ?? cluster.secrets.get(secret)?.[key];
    if (found !== undefined) variables[variable] = found;
    else if (!optional) throw new Error(`${name} needs ${key} of the Secret ${secret}, which is missing`);
  }
  const env = Object.fromEntries(Object.entries(variables).map(([key, value]) => [key, translate(value)]));
  return { env: { PATH: process.env.PATH, ...env, NODE_OPTIONS: '' }, translate };
}
