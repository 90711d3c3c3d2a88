import { fork } from 'node:child_process';
import { Agent, request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { Client, credentials } from '@grpc/grpc-js';
import { workerEntry } from '#kernel/workers/worker_entry';
import { codecOf } from '#serving/protocol/grpc/open_inference_proto';

const CONNECTIONS = 8;
/** What a process that makes the calls is started with. */
const CHILD = 'calls';
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

/** Calls that were answered, and how long they took together. */
export interface TensorCalls {
  readonly calls: number;
  readonly ms: number;
}

/** Runs a load in a process of its own: the CPU time of this one is the server's. @throws when a call is not answered */
export function tensorCalls(load: TensorLoad): Promise<TensorCalls> {
  const child = fork(fileURLToPath(workerEntry(import.meta.url, './tensor_load')), [CHILD], {
    serialization: 'advanced',
  });
  child.send(load);
  return new Promise((resolve, reject) => {
    child.once('message', (done) => resolve(done as TensorCalls));
    child.once('exit', (code) => reject(new Error(`a load of ${load.kind} calls ended with code ${code}`)));
  });
}

async function run(load: TensorLoad): Promise<TensorCalls> {
  const calls = load.kind === 'grpc' ? grpcCalls(load) : restCalls(load);
  const startedMs = performance.now();
  const until = startedMs + load.seconds * 1_000;
  let done = 0;
  await Promise.all(
    calls.map(async (call) => {
      for (; performance.now() < until; done += 1) await call();
    }),
  );
  return { calls: done, ms: performance.now() - startedMs };
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

if (process.argv[2] === CHILD) {
  process.once('message', async (load) => {
    process.send?.(await run(load as TensorLoad), () => process.exit(0));
  });
}
