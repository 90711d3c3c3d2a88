import type * as grpc from '@grpc/grpc-js';
import type * as fnApi from '#pipelines/proto/beam_fn_api';
import * as fnClients from '#pipelines/proto/beam_fn_api.grpc-client';
import { connect, workerMetadata } from './grpc_connections.ts';

type StateKey = fnApi.StateKey;
type StateRequest = fnApi.StateRequest;
type StateResponse = fnApi.StateResponse;

interface Pending {
  readonly resolve: (response: StateResponse) => void;
  readonly reject: (error: Error) => void;
}

const NOTHING = new Uint8Array(0);

/** State that a runner keeps, by request and answer; requests do not wait for each other. */
export class StateStream {
  readonly #stream: grpc.ClientDuplexStream<StateRequest, StateResponse>;
  readonly #client: grpc.Client;
  readonly #pending = new Map<string, Pending>();
  #next = 0;
  #error: Error | undefined;

  constructor(url: string, workerId: string) {
    const client = connect(fnClients.BeamFnStateClient, url);
    this.#client = client;
    this.#stream = client.state(workerMetadata(workerId));
    this.#stream.on('data', (response: StateResponse) => {
      const pending = this.#pending.get(response.id);
      this.#pending.delete(response.id);
      if (response.error !== '') pending?.reject(new Error(`the runner refused a state request: ${response.error}`));
      else pending?.resolve(response);
    });
    this.#stream.on('error', (error) => this.#fail(error));
    this.#stream.on('end', () => this.#fail(new Error(`the runner closed the state stream ${url}`)));
  }

  /** All bytes under a key, however many answers they come in. */
  async get(instructionId: string, stateKey: StateKey): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let continuationToken: Uint8Array = NOTHING;
    do {
      const { response } = await this.#ask(instructionId, stateKey, { oneofKind: 'get', get: { continuationToken } });
      if (response.oneofKind !== 'get') throw new Error('the runner answered a state request with something else');
      parts.push(response.get.data);
      continuationToken = response.get.continuationToken;
    } while (continuationToken.length > 0);
    return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
  }

  async append(instructionId: string, stateKey: StateKey, data: Uint8Array): Promise<void> {
    await this.#ask(instructionId, stateKey, { oneofKind: 'append', append: { data } });
  }

  async clear(instructionId: string, stateKey: StateKey): Promise<void> {
    await this.#ask(instructionId, stateKey, { oneofKind: 'clear', clear: {} });
  }

  #ask(instructionId: string, stateKey: StateKey, request: StateRequest['request']): Promise<StateResponse> {
    if (this.#error !== undefined) return Promise.reject(this.#error);
    this.#next += 1;
    const id = String(this.#next);
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#stream.write({ id, instructionId, stateKey, request });
    });
  }

  #fail(error: Error): void {
    this.#error ??= error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  close(): void {
    this.#stream.on('error', () => {});
    this.#stream.end();
    this.#client.close();
  }
}
