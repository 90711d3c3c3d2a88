import type { Image } from './image.ts';
import type { Cluster, Workload } from './manifests.ts';
import { Pod } from './pod.ts';

const READY_WITHIN_MS = 240_000;

/** The pods of a workload, replaced as its controller replaces them. */
export class Pods {
  #pods: Pod[] = [];
  readonly #folder: string;
  readonly #nextAddress: () => string;
  #made = 0;
  /** How each pod that was stopped has ended; undefined where it had to be killed. */
  readonly exits: (number | undefined)[] = [];

  /** @param nextAddress - gives each pod an address of its own */
  constructor(folder: string, nextAddress: () => string) {
    this.#folder = folder;
    this.#nextAddress = nextAddress;
  }

  get running(): readonly Pod[] {
    return this.#pods;
  }

  /** Brings all pods to an image: a StatefulSet from the last to the first, each on the claim of the one before; a Deployment with a new pod before an old one goes. */
  async roll(workload: Workload, cluster: Cluster, image: Image): Promise<void> {
    const replicas = cluster.replicas.get(workload.metadata.name) ?? workload.spec.replicas ?? 1;
    const ordinals = Array.from({ length: replicas }, (_, at) => replicas - 1 - at);
    if (this.#pods.length === 0) {
      const started = await Promise.all(ordinals.map((at) => this.#start(workload, cluster, image, at)));
      await Promise.all(started.map((pod) => pod.ready(READY_WITHIN_MS)));
      return;
    }
    for (const at of ordinals) {
      const old = this.#pods.find(({ spec }) => spec.image !== image) as Pod;
      if (workload.kind === 'StatefulSet') await this.#stop(this.#named(workload, at) ?? old);
      await (await this.#start(workload, cluster, image, at)).ready(READY_WITHIN_MS);
      if (workload.kind === 'Deployment') await this.#stop(old);
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#pods.map((pod) => this.#stop(pod)));
  }

  #named(workload: Workload, at: number): Pod | undefined {
    return this.#pods.find(({ spec }) => spec.name === `${workload.metadata.name}-${at}`);
  }

  async #start(workload: Workload, cluster: Cluster, image: Image, at: number): Promise<Pod> {
    this.#made += 1;
    // A pod of a StatefulSet has its number for good, and its claim with it.
    const number = workload.kind === 'StatefulSet' ? at : `pod${this.#made}`;
    const name = `${workload.metadata.name}-${number}`;
    const address = this.#nextAddress();
    const pod = await Pod.start({ name, address, workload, cluster, image, folder: this.#folder });
    this.#pods.push(pod);
    return pod;
  }

  async #stop(pod: Pod): Promise<void> {
    this.exits.push(await pod.stop());
    this.#pods = this.#pods.filter((each) => each !== pod);
  }
}
