import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';

/** How long a client has to finish a body that is not read, and how long it may be silent, as nginx's lingering_time and lingering_timeout; ms. */
const LINGER_MS = 30_000;
const SILENCE_MS = 5_000;

/**
 * Lets a connection that closes behind its answer read the rest of the request first, and discards it. To close with bytes unread resets the connection: a client that sends
 * all of its body before it reads would get no status.
 */
export function lingerOnClose(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return;
  const { socket } = request;
  // Node calls it when the last answer of a connection is written.
  socket.destroySoon = () => {
    const close = (): void => Socket.prototype.destroySoon.call(socket);
    if (request.complete) {
      close();
      return;
    }
    let seen = socket.bytesRead;
    const silence = setInterval(() => {
      if (socket.bytesRead === seen) socket.destroy();
      seen = socket.bytesRead;
    }, SILENCE_MS).unref();
    const end = setTimeout(() => socket.destroy(), LINGER_MS).unref();
    socket.once('close', () => {
      clearInterval(silence);
      clearTimeout(end);
    });
    request.once('end', close);
    // Decompression may have stopped taking it.
    request.unpipe();
    request.resume();
    socket.end();
  };
}
