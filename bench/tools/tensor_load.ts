import { Agent, request } from 'node:http';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Client, credentials } from '@grpc/grpc-js';
import { workerEntry } from '#kernel/workers/worker_entry';
import { codecOf } from '#serving/protocol/grpc/open_inference_proto';

const CONNECTIONS = 8;
const METHOD = '/inference.GRPCInferenceService/ModelInfer';

/** Calls of one inference, one after the other on each of eight connections. */
export type TensorLoad = { readonly seconds: number } & (
  | { readonly kind: 'grpc'; readonly address: string; readonly message: object }
  | {
      readonly kind: 'rest';
      readonly url: string;
      readonly path: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Uint8Array;
    }
);

/** Runs a load on a thread of its own. @returns calls a second @throws when one is not answered */
export function tensorCalls(load: TensorLoad): Promise<number> {
  const worker = new Worker(workerEntry(import.meta.url, './tensor_load'), { workerData: load });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

async function run(load: TensorLoad): Promise<number> {
  const calls = load.kind === 'grpc' ? grpcCalls(load) : restCalls(load);
  const startedMs = performance.now();
  const until = startedMs + load.seconds * 1_000;
  let done = 0;
  await Promise.all(
    calls.map(async (call) => {
      for (; performance.now() < until; done += 1) await call();
    }),
  );
  return done / ((performance.now() - startedMs) / 1_000);
}

type Call = () => Promise<unknown>;

function grpcCalls({ address, message }: TensorLoad & { readonly kind: 'grpc' }): readonly Call[] {
  const asked = codecOf('inference.ModelInferRequest');
  const answered = codecOf('inference.ModelInferResponse');
  // Clients with equal options share a connection.
  const clients = Array.from(
    { length: CONNECTIONS },
    (_, at) => new Client(address, credentials.createInsecure(), { 'grpc.primary_user_agent': `client-${at}` }),
  );
  return clients.map(
    (client) => () =>
      new Promise<void>((resolve, reject) => {
        const taken = (error: Error | null): void => (error === null ? resolve() : reject(error));
        client.makeUnaryRequest(METHOD, asked.serialize, answered.deserialize, message, taken);
      }),
  );
}

function restCalls({ url, path, headers, body }: TensorLoad & { readonly kind: 'rest' }): readonly Call[] {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const call: Call = () =>
    new Promise<void>((resolve, reject) => {
      const options = { method: 'POST', agent, headers: { ...headers, 'content-length': body.length } };
      const sent = request(`${url}${path}`, options, (answer) => {
        if (answer.statusCode !== 200) reject(new Error(`${path} answered ${answer.statusCode}`));
        answer.on('data', () => {});
        answer.on('end', resolve);
      });
      sent.on('error', reject);
      sent.end(body);
    });
  return Array.from({ length: CONNECTIONS }, () => call);
}

if (!isMainThread && parentPort !== null) parentPort.postMessage(await run(workerData as TensorLoad));
