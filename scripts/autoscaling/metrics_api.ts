import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Usage } from '#scripts/services/process_usage';
import type { ApiServer } from '../deployment/api_server.ts';
import { makeAuthority, makeCertificate } from '../deployment/certificates.ts';
import type { PodsAsProcesses } from './pods_as_processes.ts';
import { registerApi } from './register_api.ts';

const GROUP = 'metrics.k8s.io';
const VERSION = 'v1beta1';
const NAMESPACE = 'headwater';
const SAMPLE_EVERY_MS = 1_000;
/** Usage is over the newest so many samples. */
const SAMPLES = 10;

interface Sample {
  readonly atMs: number;
  readonly usage: Usage;
}

/** The API of resource metrics, as metrics-server serves it from kubelets: what the process of each pod has used of the processor, as Linux counts it. */
export class MetricsApi {
  readonly #samples = new Map<string, Sample[]>();
  readonly #workloads: readonly PodsAsProcesses[];
  #timer: NodeJS.Timeout | undefined;

  constructor(workloads: readonly PodsAsProcesses[]) {
    this.#workloads = workloads;
  }

  /** Listens on this machine, and registers itself with the API server. */
  async start(api: ApiServer, folder: string): Promise<() => Promise<void>> {
    const certs = join(folder, 'metrics');
    await makeAuthority(certs);
    await makeCertificate(certs, 'tls', 'metrics');
    const [cert, key] = await Promise.all([readFile(join(certs, 'tls.crt')), readFile(join(certs, 'tls.key'))]);
    const server = createServer({ cert, key }, (request, response) => {
      const url = new URL(request.url ?? '/', 'https://metrics');
      const answer = this.#answer(url);
      response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answer ?? { kind: 'Status', apiVersion: 'v1', status: 'Failure', code: 404 }));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.#timer = setInterval(() => void this.#sample(), SAMPLE_EVERY_MS);
    const { port } = server.address() as AddressInfo;
    await registerApi(api, folder, {
      group: GROUP,
      version: VERSION,
      namespace: 'kube-system',
      service: 'metrics',
      port,
    });
    return async () => {
      clearInterval(this.#timer);
      server.closeAllConnections();
      server.close();
    };
  }

  /** Returns processor time of all processes of a component, in cores. */
  cores(component: string): number {
    const pods = this.#podsOf(component);
    return pods.reduce((sum, { cores }) => sum + cores, 0);
  }

  async #sample(): Promise<void> {
    for (const workload of this.#workloads) {
      const atMs = Date.now();
      for (const [pod, usage] of await workload.usage()) {
        const name = `${workload.component}/${pod}`;
        this.#samples.set(name, [...(this.#samples.get(name) ?? []), { atMs, usage }].slice(-SAMPLES));
      }
    }
    const deadMs = Date.now() - SAMPLES * SAMPLE_EVERY_MS;
    for (const [name, samples] of this.#samples) if ((samples.at(-1)?.atMs ?? 0) < deadMs) this.#samples.delete(name);
  }

  #podsOf(component: string) {
    return [...this.#samples].flatMap(([name, samples]) => {
      const [of, pod = ''] = name.split('/');
      const [first, last] = [samples[0], samples.at(-1)];
      if (of !== component || first === undefined || last === undefined || last.atMs === first.atMs) return [];
      const seconds = (last.atMs - first.atMs) / 1_000;
      const cores = (last.usage.cpuMs - first.usage.cpuMs) / 1_000 / seconds;
      return [{ pod, cores, seconds, atMs: last.atMs, memoryBytes: last.usage.memoryBytes }];
    });
  }

  #answer(url: URL): object | undefined {
    const base = `/apis/${GROUP}/${VERSION}`;
    const versioned = { apiVersion: `${GROUP}/${VERSION}` };
    if (url.pathname === base) {
      const pods = { name: 'pods', singularName: '', namespaced: true, kind: 'PodMetrics', verbs: ['get', 'list'] };
      return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: `${GROUP}/${VERSION}`, resources: [pods] };
    }
    if (url.pathname !== `${base}/namespaces/${NAMESPACE}/pods`) return undefined;
    const label = 'app.kubernetes.io/component';
    const selector = url.searchParams.get('labelSelector') ?? '';
    const component = new RegExp(`${label}=([^,]+)`).exec(selector)?.[1] ?? '';
    const items = this.#podsOf(component).map(({ pod, cores, seconds, atMs, memoryBytes }) => ({
      metadata: { name: pod, namespace: NAMESPACE, labels: { [label]: component } },
      ...{ timestamp: new Date(atMs).toISOString(), window: `${seconds.toFixed(1)}s` },
      containers: [
        {
          name: 'headwater',
          usage: { cpu: `${Math.round(cores * 1e9)}n`, memory: `${Math.round(memoryBytes / 1_024)}Ki` },
        },
      ],
    }));
    return { kind: 'PodMetricsList', ...versioned, metadata: {}, items };
  }
}
