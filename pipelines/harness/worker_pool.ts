import { BlockList, isIP } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { messageOf, PlatformError } from '#kernel/errors';
import type { Construct } from '#pipelines/model/graph';
import * as fnServers from '#pipelines/proto/beam_fn_api.grpc-server';
import { Worker } from './worker.ts';

/** A pool would listen beyond this machine without TLS: each client that reaches it starts workers, which send data where it says. */
export class WorkerPoolExposedError extends PlatformError {
  readonly code = 'PIPELINE_WORKER_POOL_EXPOSED';

  constructor(host: string) {
    super(
      `a worker pool on ${host} can be reached from other machines, and each client that reaches it starts workers: listen on localhost, beside the task manager that uses it, or give a certificate and the authority of its clients`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** What a runner gives with its request for a worker. */
export interface WorkerRequest {
  readonly id: string;
  readonly controlUrl: string;
  readonly loggingUrl?: string;
  readonly provisionUrl?: string;
}

/** Starts a worker. */
export type LaunchWorker = (request: WorkerRequest) => { stop(): Promise<void> };

/** PEM. Clients show a certificate of `clientAuthority`. */
export interface PoolTls {
  readonly certificate: Buffer;
  readonly key: Buffer;
  readonly clientAuthority: Buffer;
}

export interface WorkerPoolOptions {
  readonly launch: LaunchWorker;
  /** Default 127.0.0.1: workers only for a runner on this machine. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** Required beyond this machine. */
  readonly tls?: PoolTls;
}

/** Starts workers when a runner requests them: LOOPBACK while the job is submitted from here, EXTERNAL as a sidecar beside a runner's task managers. */
export class WorkerPool {
  readonly #server: grpc.Server;
  readonly #workers: ReadonlyMap<string, { stop(): Promise<void> }>;
  /** host:port that a runner is given. */
  readonly address: string;

  private constructor(address: string, server: grpc.Server, workers: ReadonlyMap<string, { stop(): Promise<void> }>) {
    this.address = address;
    this.#server = server;
    this.#workers = workers;
  }

  /** @throws {@link WorkerPoolExposedError} for a host beyond this machine without TLS */
  static async start({ launch, host = '127.0.0.1', port = 0, tls }: WorkerPoolOptions): Promise<WorkerPool> {
    if (tls === undefined && !isLoopback(host)) throw new WorkerPoolExposedError(host);
    const server = new grpc.Server();
    const workers = new Map<string, { stop(): Promise<void> }>();
    const service: fnServers.IBeamFnExternalWorkerPool = {
      startWorker({ request }, callback) {
        const { workerId: id, controlEndpoint, loggingEndpoint, provisionEndpoint } = request;
        workers.set(
          id,
          launch({
            ...{ id, controlUrl: controlEndpoint?.url ?? '' },
            ...(loggingEndpoint === undefined ? {} : { loggingUrl: loggingEndpoint.url }),
            ...(provisionEndpoint === undefined ? {} : { provisionUrl: provisionEndpoint.url }),
          }),
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
      server.bindAsync(`${host}:${port}`, credentialsOf(tls), (error, at) => {
        if (error === null) resolve(at);
        else reject(error);
      });
    });
    return new WorkerPool(`${host}:${bound}`, server, workers);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#workers.values()].map((worker) => worker.stop()));
    this.#server.forceShutdown();
  }
}

const credentialsOf = (tls: PoolTls | undefined): grpc.ServerCredentials =>
  tls === undefined
    ? grpc.ServerCredentials.createInsecure()
    : grpc.ServerCredentials.createSsl(
        tls.clientAuthority,
        [{ private_key: tls.key, cert_chain: tls.certificate }],
        true,
      );

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8);
LOOPBACK.addAddress('::1', 'ipv6');

function isLoopback(host: string): boolean {
  if (host === 'localhost') return true;
  const address = host.replace(/^\[|\]$/g, '');
  const version = isIP(address);
  return version !== 0 && LOOPBACK.check(address, version === 6 ? 'ipv6' : 'ipv4');
}

const KEPT_ERRORS = 3;

/** Workers in this process, on its one thread. */
export class OwnWorkers {
  readonly #construct: Construct;
  readonly #errors: string[] = [];

  constructor(construct: Construct) {
    this.#construct = construct;
  }

  readonly launch: LaunchWorker = (request) =>
    new Worker({
      ...request,
      construct: this.#construct,
      onError: (error) => {
        if (this.#errors.length < KEPT_ERRORS) this.#errors.push(messageOf(error));
      },
    });

  /** What failed in the workers since the last call, the first few. */
  takeErrors(): readonly string[] {
    return this.#errors.splice(0);
  }
}
