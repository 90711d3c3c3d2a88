import { Agent, request } from 'node:http';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { workerEntry } from '#kernel/workers/worker_entry';

interface Load {
  readonly url: string;
  readonly bodies: readonly string[];
}

/** Times of POST requests one after the other, ms, from a thread of its own: what a client elsewhere sees. Answers are read whole. */
export async function requestTimes(url: string, bodies: readonly string[]): Promise<readonly number[]> {
  const worker = new Worker(workerEntry(import.meta.url, './request_times'), {
    workerData: { url, bodies } satisfies Load,
  });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

function post(url: string, body: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const asked = request(url, { method: 'POST', headers, agent }, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`${url} answered ${answer.statusCode}`));
      answer.on('data', () => {});
      answer.on('end', resolve);
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

if (!isMainThread && parentPort !== null) {
  const { url, bodies } = workerData as Load;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const times: number[] = [];
  for (const body of bodies) {
    const begin = performance.now();
    await post(url, body, agent);
    times.push(performance.now() - begin);
  }
  agent.destroy();
  parentPort.postMessage(times);
}
