import type * as grpc from '@grpc/grpc-js';
import type * as fnApi from '#pipelines/proto/beam_fn_api';
import * as fnClients from '#pipelines/proto/beam_fn_api.grpc-client';
import * as provisionClients from '#pipelines/proto/beam_provision_api.grpc-client';
import { connect, workerMetadata } from './grpc_connections.ts';

/** Addresses that a runner's provisioning service has for a worker; undefined for what it does not have. */
export interface ProvisionedEndpoints {
  readonly control: string | undefined;
  readonly logging: string | undefined;
  readonly status: string | undefined;
}

/** Returns the addresses for a worker; none where the runner has no provisioning service. */
export function endpointsOf(provisionUrl: string, workerId: string): Promise<ProvisionedEndpoints> {
  const client = connect(provisionClients.ProvisionServiceClient, provisionUrl);
  return new Promise<ProvisionedEndpoints>((resolve) => {
    client.getProvisionInfo({}, workerMetadata(workerId), (error, response) => {
      const info = error === null ? response?.info : undefined;
      const of = (endpoint: { readonly url: string } | undefined): string | undefined => endpoint?.url || undefined;
      resolve({
        control: of(info?.controlEndpoint),
        logging: of(info?.loggingEndpoint),
        status: of(info?.statusEndpoint),
      });
    });
  }).finally(() => client.close());
}

/** Answers a runner's questions of what a worker is doing. */
export class WorkerStatus {
  readonly #client: grpc.Client;
  readonly #stream: grpc.ClientDuplexStream<fnApi.WorkerStatusResponse, fnApi.WorkerStatusRequest>;

  /** @param describe - what to say, asked anew each time */
  constructor(url: string, workerId: string, describe: () => object) {
    const client = connect(fnClients.BeamFnWorkerStatusClient, url);
    this.#client = client;
    this.#stream = client.workerStatus(workerMetadata(workerId));
    this.#stream.on('error', () => {});
    this.#stream.on('data', ({ id }: fnApi.WorkerStatusRequest) => {
      const { rss, heapUsed } = process.memoryUsage();
      const statusInfo = JSON.stringify({
        ...describe(),
        rssBytes: rss,
        heapUsedBytes: heapUsed,
        uptimeSeconds: process.uptime(),
      });
      this.#stream.write({ id, error: '', statusInfo });
    });
  }

  close(): void {
    this.#stream.end();
    this.#client.close();
  }
}
