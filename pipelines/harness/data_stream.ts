import type * as grpc from '@grpc/grpc-js';
import type * as fnApi from '#pipelines/proto/beam_fn_api';
import * as fnClients from '#pipelines/proto/beam_fn_api.grpc-client';
import { connect, workerMetadata } from './grpc_connections.ts';

type Elements = fnApi.Elements;

/** Data and timers of one bundle, as they arrive. */
export class InboundQueue {
  #waiting: Elements[] = [];
  #wake: (() => void) | undefined;
  #error: Error | undefined;

  push(elements: Elements): void {
    this.#waiting.push(elements);
    this.#wake?.();
  }

  fail(error: Error): void {
    this.#error = error;
    this.#wake?.();
  }

  /** All that has arrived since the last call; waits when that is nothing. */
  async take(): Promise<readonly Elements[]> {
    while (this.#waiting.length === 0) {
      if (this.#error !== undefined) throw this.#error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    const taken = this.#waiting;
    this.#waiting = [];
    return taken;
  }
}

/** One data stream with a runner, shared by all bundles. */
export class DataStream {
  readonly #stream: grpc.ClientDuplexStream<Elements, Elements>;
  readonly #client: grpc.Client;
  readonly #queues = new Map<string, InboundQueue>();
  #error: Error | undefined;

  constructor(url: string, workerId: string) {
    const client = connect(fnClients.BeamFnDataClient, url);
    this.#client = client;
    this.#stream = client.data(workerMetadata(workerId));
    this.#stream.on('data', (elements: Elements) => this.#route(elements));
    this.#stream.on('error', (error) => this.#fail(error));
    this.#stream.on('end', () => this.#fail(new Error(`the runner closed the data stream ${url}`)));
  }

  #route(elements: Elements): void {
    const parts = new Map<string, Elements>();
    const partOf = (instructionId: string): Elements => {
      let part = parts.get(instructionId);
      if (part === undefined) {
        part = { data: [], timers: [] };
        parts.set(instructionId, part);
      }
      return part;
    };
    for (const data of elements.data) partOf(data.instructionId).data.push(data);
    for (const timers of elements.timers) partOf(timers.instructionId).timers.push(timers);
    for (const [instructionId, part] of parts) this.queue(instructionId).push(part);
  }

  /** What arrives for an instruction, also before the instruction itself does. */
  queue(instructionId: string): InboundQueue {
    let queue = this.#queues.get(instructionId);
    if (queue === undefined) {
      queue = new InboundQueue();
      if (this.#error !== undefined) queue.fail(this.#error);
      this.#queues.set(instructionId, queue);
    }
    return queue;
  }

  release(instructionId: string): void {
    this.#queues.delete(instructionId);
  }

  /** Resolves when the runner can take more. */
  send(elements: Elements): Promise<void> | undefined {
    if (this.#stream.write(elements)) return undefined;
    return new Promise((resolve) => this.#stream.once('drain', resolve));
  }

  #fail(error: Error): void {
    this.#error ??= error;
    for (const queue of this.#queues.values()) queue.fail(error);
  }

  close(): void {
    this.#stream.on('error', () => {});
    this.#stream.end();
    this.#client.close();
  }
}
