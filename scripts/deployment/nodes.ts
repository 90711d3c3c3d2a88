import { readFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiServer } from './api_server.ts';

/** How a container of an image behaves; without an entry it starts and is ready. */
export type Behaviour = 'absent' | 'never ready' | 'fails at first';

interface Named {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
  };
}
interface SecretRef {
  readonly name: string;
  readonly optional?: boolean;
}
interface Container {
  readonly name: string;
  readonly image: string;
  readonly env?: readonly { readonly valueFrom?: { readonly secretKeyRef?: SecretRef } }[];
  readonly envFrom?: readonly { readonly secretRef?: SecretRef }[];
}
interface Pod extends Named {
  readonly spec: {
    readonly nodeName?: string;
    readonly restartPolicy?: string;
    readonly containers: readonly Container[];
    readonly volumes?: readonly { readonly secret?: { readonly secretName: string; readonly optional?: boolean } }[];
  };
  readonly status: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly phase?: string;
    readonly containerStatuses?: readonly { readonly restartCount: number }[];
  };
}

const LOOK_MS = 150;
const LEASE_EVERY_MS = 1_000;
const LONGEST_MS = 10_000;
const CAPACITY = { cpu: '16', memory: '64Gi', pods: '110', 'ephemeral-storage': '100Gi' };

/**
 * Plays the kubelets of nodes: their heartbeats, and pods whose containers run no code. A pod waits for an image that there is not and for Secrets that are missing, is ready or not by
 * the behaviour of its image, and ends when it is deleted. A node that is lost reports nothing more, and its pods stay as they are.
 */
export class Nodes {
  readonly behaviours = new Map<string, Behaviour>();
  readonly #api: ApiServer;
  readonly #alive = new Set<string>();
  readonly #agent: Agent;
  readonly #ended = new AbortController();
  readonly #work: Promise<unknown>;

  private constructor(api: ApiServer, agent: Agent, names: readonly string[]) {
    this.#api = api;
    this.#agent = agent;
    for (const name of names) this.#alive.add(name);
    this.#work = Promise.all([
      this.#repeat(LEASE_EVERY_MS, () => this.#renew()),
      this.#repeat(LOOK_MS, () => this.#look()),
    ]);
  }

  static async start(api: ApiServer, names: readonly string[]): Promise<Nodes> {
    const agent = new Agent({ keepAlive: true, ca: await readFile(api.caFile, 'utf8') });
    const nodes = new Nodes(api, agent, names);
    for (const name of names) await nodes.add(name);
    return nodes;
  }

  async add(name: string): Promise<void> {
    const labels = { 'kubernetes.io/hostname': name, 'topology.kubernetes.io/zone': `zone-${name}` };
    await this.#send('POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } });
    const status = { capacity: CAPACITY, allocatable: CAPACITY, conditions: [nodeReady()] };
    await this.#send('PATCH', `/api/v1/nodes/${name}/status`, { status });
    await this.#send('POST', LEASES, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name } });
    this.#alive.add(name);
  }

  /** The node reports nothing from now on. */
  lose(name: string): void {
    this.#alive.delete(name);
  }

  /** A node that was lost is taken out of the cluster, as a cloud does with a machine that is gone. */
  async remove(name: string): Promise<void> {
    await this.#send('DELETE', `/api/v1/nodes/${name}`);
    await this.#send('DELETE', `${LEASES}/${name}`);
  }

  async stop(): Promise<void> {
    this.#ended.abort();
    await this.#work;
    this.#agent.destroy();
  }

  /** The API server may be away: the next look is another try. */
  async #repeat(everyMs: number, work: () => Promise<void>): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      await work().catch(() => {});
      await sleep(everyMs, undefined, { signal }).catch(() => {});
    }
  }

  async #renew(): Promise<void> {
    const renewTime = new Date().toISOString().replace('Z', '000Z');
    for (const name of this.#alive) {
      const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime };
      await this.#send('PATCH', `${LEASES}/${name}`, { spec });
    }
    const { items } = await this.#send<{
      readonly items: readonly (Named & { status: { conditions?: readonly { type: string; status: string }[] } })[];
    }>('GET', '/api/v1/nodes');
    for (const { metadata, status } of items) {
      const isReady = status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
      if (isReady || !this.#alive.has(metadata.name)) continue;
      await this.#send('PATCH', `/api/v1/nodes/${metadata.name}/status`, { status: { conditions: [nodeReady()] } });
    }
  }

  async #look(): Promise<void> {
    const [pods, secrets] = await Promise.all([
      this.#send<{ readonly items: readonly Pod[] }>('GET', '/api/v1/pods'),
      this.#send<{ readonly items: readonly Named[] }>('GET', '/api/v1/secrets'),
    ]);
    const known = new Set(secrets.items.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`));
    for (const pod of pods.items) {
      const { metadata, spec } = pod;
      if (spec.nodeName === undefined || !this.#alive.has(spec.nodeName)) continue;
      const path = `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`;
      const work =
        metadata.deletionTimestamp !== undefined
          ? this.#send('DELETE', path, { ...NOW, preconditions: { uid: metadata.uid } })
          : this.#needsStatus(pod)
            ? this.#send('PATCH', `${path}/status`, {
                metadata: { uid: metadata.uid },
                status: this.#statusOf(pod, known),
              })
            : undefined;
      // A pod may have gone since the list was made.
      await work?.catch(() => {});
    }
  }

  /** A pod that waits, and one that the controllers hold for lost because its node or the API server was away. */
  #needsStatus({ spec, status }: Pod): boolean {
    if (status.phase === 'Pending') return true;
    if (status.phase !== 'Running') return false;
    const isReady = status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
    return !isReady && spec.containers.every(({ image }) => this.behaviours.get(image) !== 'never ready');
  }

  #statusOf({ metadata, spec, status }: Pod, secrets: ReadonlySet<string>): object {
    const now = new Date().toISOString();
    const restarts = status.containerStatuses?.[0]?.restartCount ?? 0;
    let waiting: string | undefined;
    let isReady = true;
    const isMissing = (name: string, optional = false): boolean =>
      !optional && !secrets.has(`${metadata.namespace}/${name}`);
    const hasVolumes = (spec.volumes ?? []).every(
      ({ secret }) => secret === undefined || !isMissing(secret.secretName, secret.optional),
    );
    for (const { image, env = [], envFrom = [] } of spec.containers) {
      const refs = [
        ...env.map(({ valueFrom }) => valueFrom?.secretKeyRef),
        ...envFrom.map(({ secretRef }) => secretRef),
      ];
      const hasSecrets = hasVolumes && refs.every((ref) => ref === undefined || !isMissing(ref.name, ref.optional));
      const behaviour = this.behaviours.get(image);
      if (behaviour === 'absent') waiting = 'ImagePullBackOff';
      else if (!hasSecrets) waiting = 'CreateContainerConfigError';
      else if (behaviour === 'fails at first' && restarts < 3) waiting = 'CrashLoopBackOff';
      else if (behaviour === 'never ready') isReady = false;
    }
    const hasEnded = spec.restartPolicy === 'Never' || spec.restartPolicy === 'OnFailure';
    const is = (type: string, holds: boolean) => ({ type, status: holds ? 'True' : 'False', lastTransitionTime: now });
    const containers = spec.containers.map(({ name, image }) => ({
      ...{ name, image, imageID: image, ready: waiting === undefined && isReady, started: waiting === undefined },
      restartCount: waiting === 'CrashLoopBackOff' ? restarts + 1 : restarts,
      state: waiting === undefined ? { running: { startedAt: now } } : { waiting: { reason: waiting } },
    }));
    const ready = waiting === undefined && isReady;
    return {
      phase: waiting !== undefined ? 'Pending' : hasEnded ? 'Succeeded' : 'Running',
      startTime: now,
      conditions: [is('Initialized', true), is('ContainersReady', ready), is('Ready', ready)],
      containerStatuses: containers,
    };
  }

  #send<T>(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<T> {
    const type = method === 'PATCH' ? 'application/strategic-merge-patch+json' : 'application/json';
    const text = body === undefined ? '' : JSON.stringify(body);
    // Node.js frames the body of a DELETE by its length alone.
    const headers = {
      ...{ authorization: `Bearer ${this.#api.token}`, 'content-type': type },
      'content-length': Buffer.byteLength(text),
    };
    return new Promise<T>((resolve, reject) => {
      const url = new URL(path, this.#api.url);
      const sent = request(
        url,
        { method, headers, agent: this.#agent, signal: AbortSignal.timeout(LONGEST_MS) },
        (answer) => {
          const chunks: Buffer[] = [];
          answer.on('data', (chunk: Buffer) => chunks.push(chunk));
          answer.on('error', reject);
          answer.on('end', () => {
            const said = Buffer.concat(chunks).toString();
            const status = answer.statusCode ?? 0;
            if (status < 300) resolve(JSON.parse(said) as T);
            else reject(new Error(`${method} ${path}: ${status} ${said.slice(0, 300)}`));
          });
        },
      );
      sent.on('error', reject);
      sent.end(text);
    });
  }
}

function nodeReady(): object {
  const now = new Date().toISOString();
  return { type: 'Ready', status: 'True', reason: 'KubeletReady', lastHeartbeatTime: now, lastTransitionTime: now };
}

const NOW = { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0 };
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';
