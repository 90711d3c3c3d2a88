import * as grpc from '@grpc/grpc-js';
import { messageOf } from '#kernel/errors';
import type { Construct } from '#pipelines/model/graph';
import * as fnServers from '#pipelines/proto/beam_fn_api.grpc-server';
import { Worker } from './worker.ts';

const KEPT_ERRORS = 3;

export interface WorkerPoolOptions {
  readonly construct: Construct;
  /** Default 127.0.0.1: workers only for a runner on this machine. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
}

/**
 * Starts workers in this process when a runner requests them: LOOPBACK while the job is submitted from here, EXTERNAL as a
 * sidecar beside a runner's task managers.
 */
export class WorkerPool {
  readonly #server: grpc.Server;
  readonly #workers: ReadonlyMap<string, Worker>;
  /** host:port that a runner is given. */
  readonly address: string;

  readonly #errors: string[];

  private constructor(address: string, server: grpc.Server, workers: ReadonlyMap<string, Worker>, errors: string[]) {
    this.address = address;
    this.#errors = errors;
    this.#server = server;
    this.#workers = workers;
  }

  static async start({ construct, host = '127.0.0.1', port = 0 }: WorkerPoolOptions): Promise<WorkerPool> {
    const server = new grpc.Server();
    const workers = new Map<string, Worker>();
    const errors: string[] = [];
    const onError = (error: unknown): void => {
      if (errors.length < KEPT_ERRORS) errors.push(messageOf(error));
    };
    const service: fnServers.IBeamFnExternalWorkerPool = {
      startWorker({ request }, callback) {
        const { workerId, controlEndpoint, loggingEndpoint, provisionEndpoint } = request;
        const more = {
          ...(loggingEndpoint === undefined ? {} : { loggingUrl: loggingEndpoint.url }),
          ...(provisionEndpoint === undefined ? {} : { provisionUrl: provisionEndpoint.url }),
        };
        workers.set(
          workerId,
          new Worker({ id: workerId, controlUrl: controlEndpoint?.url ?? '', construct, onError, ...more }),
        );
        callback(null, { error: '' });
      },
      stopWorker({ request }, callback) {
        void workers.get(request.workerId)?.stop();
        workers.delete(request.workerId);
        callback(null, { error: '' });
      },
    };
    server.addService(fnServers.beamFnExternalWorkerPoolDefinition, service as never);
    const bound = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`${host}:${port}`, grpc.ServerCredentials.createInsecure(), (error, at) => {
        if (error === null) resolve(at);
        else reject(error);
      });
    });
    return new WorkerPool(`${host}:${bound}`, server, workers, errors);
  }

  /** What failed in the pool's workers since the last call, the first few. */
  takeErrors(): readonly string[] {
    return this.#errors.splice(0);
  }

  async stop(): Promise<void> {
    for (const worker of this.#workers.values()) await worker.stop();
    this.#server.forceShutdown();
  }
}
