import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import type { Pod } from './pod.ts';

/** A Service as kube-proxy is one: each connection goes to a ready pod, the next one in turn; connections that are open stay where they are. */
export class Service {
  readonly url: string;
  readonly #server: Server;
  /** Connections by the image of the pod that they went to. */
  readonly connections = new Map<string, number>();
  refused = 0;

  private constructor(server: Server, url: string) {
    this.#server = server;
    this.url = url;
  }

  static async start(address: string, port: number, podsOf: () => readonly Pod[]): Promise<Service> {
    let turn = 0;
    const server = createServer((client) => {
      const ready = podsOf().filter(({ isReady }) => isReady);
      const pod = ready[turn++ % ready.length];
      if (pod === undefined) {
        service.refused += 1;
        client.destroy();
        return;
      }
      const { image, address: to } = pod.spec;
      service.connections.set(image.name, (service.connections.get(image.name) ?? 0) + 1);
      const upstream = connect(port, to);
      for (const [one, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        one.pipe(other);
        // As a connection that is routed: what ends one side ends the other in the same way.
        one.on('error', () => other.resetAndDestroy());
      }
    });
    const service = new Service(server, `http://${address}:${port}`);
    server.listen(port, address);
    await once(server, 'listening');
    return service;
  }

  stop(): void {
    this.#server.close();
  }
}
