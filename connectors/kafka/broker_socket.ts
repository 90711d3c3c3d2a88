import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ISocketFactory } from 'kafkajs';

const KEEP_ALIVE_MS = 60_000;

/**
 * Opens kafkajs' sockets. Its reader throws out of the socket's event for an answer that is no frame of Kafka, which would end the process: such an
 * answer breaks its connection instead, and requests on it are tried again. It comes from whatever has taken a broker's port; a client that connects
 * to a free port of its own machine may even meet itself.
 */
export const openBrokerSocket: ISocketFactory = ({ host, port, ssl, onConnect }) => {
  // Kafkajs passes what it was given: nothing, or false, without TLS.
  const tls = ssl as object | false | undefined;
  const socket: Socket = tls
    ? connectTls({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...tls })
    : connectPlain({ host, port });
  socket.once(tls ? 'secureConnect' : 'connect', () => {
    if (socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress) {
      const error = new Error(`no broker listens at ${host}:${port}: the connection leads to itself`);
      socket.destroy(Object.assign(error, { code: 'ECONNREFUSED' }));
    } else onConnect();
  });
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  const on = socket.on.bind(socket);
  socket.on = (event: string, listener: (...args: never[]) => void) => {
    if (event !== 'data') return on(event as 'close', listener as () => void);
    return on('data', (chunk: Buffer) => {
      try {
        (listener as unknown as (bytes: Buffer) => void)(chunk);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
  };
  return socket;
};
