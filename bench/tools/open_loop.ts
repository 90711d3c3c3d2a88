import { connect, type Socket } from 'node:net';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { workerEntry } from '#kernel/workers/worker_entry';

/** Requests that come at their own pace, whether earlier ones were answered or not. */
export interface OpenLoad {
  readonly host?: string;
  readonly port: number;
  /** One after the other, and again from the first. */
  readonly requests: readonly LoadRequest[];
  readonly requestsASecond: number;
  readonly seconds: number;
  /** Connections at most; what finds none free is not sent, and counted. */
  readonly connections: number;
}

export interface LoadRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: string;
}

export const posts = (path: string, bodies: readonly string[]): readonly LoadRequest[] =>
  bodies.map((body) => ({ method: 'POST', path, body }));

export interface OpenLoadResult {
  /** Milliseconds from when each was due, by status. */
  readonly latencies: Readonly<Record<number, readonly number[]>>;
  readonly notSent: number;
  /** Requests whose connection was closed before they were answered, or that were never answered. */
  readonly broken: number;
}

/** From a thread of its own. */
export function openLoop(load: OpenLoad): Promise<OpenLoadResult> {
  const worker = new Worker(workerEntry(import.meta.url, './open_loop'), { workerData: load });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

/** A connection with one request under way at most. */
class Connection {
  readonly #socket: Socket;
  readonly #onAnswer: (connection: Connection, status: number) => void;
  #received = '';

  constructor(
    { host = '127.0.0.1', port }: Pick<OpenLoad, 'host' | 'port'>,
    onAnswer: (connection: Connection, status: number) => void,
    onBroken: (connection: Connection) => void,
  ) {
    this.#onAnswer = onAnswer;
    this.#socket = connect(port, host);
    this.#socket.setNoDelay(true);
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk.toString('latin1')));
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => onBroken(this));
  }

  send(request: Buffer): void {
    this.#socket.write(request);
  }

  #take(text: string): void {
    this.#received += text;
    const head = this.#received.indexOf('\r\n\r\n');
    if (head < 0) return;
    const length = Number(/content-length: (\d+)/i.exec(this.#received)?.[1] ?? 0);
    if (this.#received.length < head + 4 + length) return;
    const status = Number(this.#received.slice(9, 12));
    this.#received = '';
    this.#onAnswer(this, status);
  }

  close(): void {
    this.#socket.removeAllListeners('close');
    this.#socket.destroy();
  }
}

/** For the last answers. */
const PATIENCE_MS = 2_000;

function bytesOf({ method, path, body }: LoadRequest, host: string): Buffer {
  const start = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n`;
  if (body === undefined) return Buffer.from(`${start}\r\n`);
  return Buffer.from(
    `${start}content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

async function run(load: OpenLoad): Promise<OpenLoadResult> {
  const { requestsASecond, seconds, connections } = load;
  const requests = load.requests.map((request) => bytesOf(request, load.host ?? '127.0.0.1'));
  const latencies: Record<number, number[]> = {};
  const due = new Map<Connection, number>();
  let free: Connection[] = [];
  const all = new Set<Connection>();
  let [notSent, broken] = [0, 0];
  const onAnswer = (connection: Connection, status: number): void => {
    latencies[status] ??= [];
    latencies[status].push(performance.now() - (due.get(connection) as number));
    due.delete(connection);
    free.push(connection);
  };
  const onBroken = (connection: Connection): void => {
    all.delete(connection);
    free = free.filter((other) => other !== connection);
    if (due.delete(connection)) broken += 1;
  };
  const beganMs = performance.now();
  const total = Math.round(requestsASecond * seconds);
  for (let sent = 0; sent < total; ) {
    const elapsed = performance.now() - beganMs;
    for (; sent < total && (sent * 1_000) / requestsASecond <= elapsed; sent += 1) {
      let connection = free.pop();
      if (connection === undefined && all.size < connections) {
        connection = new Connection(load, onAnswer, onBroken);
        all.add(connection);
      }
      if (connection === undefined) {
        notSent += 1;
        continue;
      }
      due.set(connection, beganMs + (sent * 1_000) / requestsASecond);
      connection.send(requests[sent % requests.length] as Buffer);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const giveUpAt = performance.now() + PATIENCE_MS;
  while (due.size > 0 && performance.now() < giveUpAt) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const connection of all) connection.close();
  return { latencies, notSent, broken: broken + due.size };
}

if (!isMainThread && (workerData as OpenLoad | undefined)?.requestsASecond !== undefined) {
  parentPort?.postMessage(await run(workerData as OpenLoad));
}
