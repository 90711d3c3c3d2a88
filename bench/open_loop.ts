import { connect, type Socket } from 'node:net';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { workerEntry } from '#kernel/worker_entry';

/** Requests that come at their own pace, whether earlier ones were answered or not. */
export interface OpenLoad {
  readonly port: number;
  readonly path: string;
  readonly bodies: readonly string[];
  readonly requestsASecond: number;
  readonly seconds: number;
  /** Connections at most; what finds none free is not sent, and counted. */
  readonly connections: number;
}

export interface OpenLoadResult {
  /** Milliseconds from when each was due, by status. */
  readonly latencies: Readonly<Record<number, readonly number[]>>;
  readonly notSent: number;
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

  constructor(port: number, onAnswer: (connection: Connection, status: number) => void, onBroken: () => void) {
    this.#onAnswer = onAnswer;
    this.#socket = connect(port, '127.0.0.1');
    this.#socket.setNoDelay(true);
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk.toString('latin1')));
    this.#socket.on('error', onBroken);
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
    this.#socket.destroy();
  }
}

/** For the last answers. */
const PATIENCE_MS = 2_000;

async function run({ port, path, bodies, requestsASecond, seconds, connections }: OpenLoad): Promise<OpenLoadResult> {
  const requests = bodies.map((body) => {
    const head = `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`;
    return Buffer.from(head + body);
  });
  const latencies: Record<number, number[]> = {};
  const due = new Map<Connection, number>();
  const free: Connection[] = [];
  const all: Connection[] = [];
  let [notSent, broken] = [0, 0];
  const onAnswer = (connection: Connection, status: number): void => {
    latencies[status] ??= [];
    latencies[status].push(performance.now() - (due.get(connection) as number));
    due.delete(connection);
    free.push(connection);
  };
  const onBroken = (): void => {
    broken += 1;
  };
  const beganMs = performance.now();
  const total = Math.round(requestsASecond * seconds);
  for (let sent = 0; sent < total; ) {
    const elapsed = performance.now() - beganMs;
    for (; sent < total && (sent * 1_000) / requestsASecond <= elapsed; sent += 1) {
      let connection = free.pop();
      if (connection === undefined && all.length < connections) {
        connection = new Connection(port, onAnswer, onBroken);
        all.push(connection);
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
  return { latencies, notSent, broken };
}

if (!isMainThread && (workerData as OpenLoad | undefined)?.requestsASecond !== undefined) {
  parentPort?.postMessage(await run(workerData as OpenLoad));
}
