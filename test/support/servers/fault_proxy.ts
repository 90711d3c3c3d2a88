import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What the way to a server is like. */
export type Weather =
  | { readonly kind: 'fine' }
  /** Everything comes so much later, both ways. */
  | { readonly kind: 'slow'; readonly ms: number }
  /** Connections are cut as soon as something is sent, and new ones too. */
  | { readonly kind: 'reset' }
  /** What is sent disappears; connections stay. */
  | { readonly kind: 'black hole' };

/** A TCP proxy before a server, through which the network can be bad. */
export class FaultProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #weather: Weather = { kind: 'fine' };
  targetPort: number;

  private constructor(targetPort: number) {
    this.targetPort = targetPort;
    this.#server = createServer((client) => this.#accept(client));
  }

  static async start(targetPort = 0): Promise<FaultProxy> {
    const proxy = new FaultProxy(targetPort);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  set weather(weather: Weather) {
    this.#weather = weather;
    if (weather.kind === 'reset') for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  #accept(client: Socket): void {
    if (this.#weather.kind === 'reset') {
      client.resetAndDestroy();
      return;
    }
    const server = connect(this.targetPort, '127.0.0.1');
    this.#forward(client, server);
    this.#forward(server, client);
  }

  #forward(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    // What has disappeared takes all that follows on its connection with it: TCP would not skip it either.
    let isLost = false;
    from.on('data', (bytes: Buffer) => {
      if (this.#weather.kind === 'black hole') isLost = true;
      if (isLost) return;
      if (this.#weather.kind === 'slow') setTimeout(() => to.write(bytes), this.#weather.ms);
      else to.write(bytes);
    });
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroy();
    });
    from.on('error', () => to.destroy());
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
