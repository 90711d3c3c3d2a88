import type * as grpc from '@grpc/grpc-js';
import * as fnApi from '#pipelines/proto/beam_fn_api';
import * as fnClients from '#pipelines/proto/beam_fn_api.grpc-client';
import { connect, workerMetadata } from '../grpc_connections.ts';

/** Sends log lines to the runner, which shows them with the job's own. */
export class RemoteLog {
  readonly #client: grpc.Client;
  readonly #stream: grpc.ClientDuplexStream<fnApi.LogEntry_List, fnApi.LogControl>;

  constructor(url: string, workerId: string) {
    const client = connect(fnClients.BeamFnLoggingClient, url);
    this.#client = client;
    this.#stream = client.logging(workerMetadata(workerId));
    // A runner that takes no logs must not stop the work.
    this.#stream.on('error', () => {});
    this.#stream.on('data', () => {});
  }

  error(message: string, instructionId: string, trace: string): void {
    const { ERROR } = fnApi.LogEntry_Severity_Enum;
    const now = Date.now();
    const timestamp = { seconds: BigInt(Math.floor(now / 1_000)), nanos: (now % 1_000) * 1e6 };
    const entry = fnApi.LogEntry.create({ severity: ERROR, message, trace, instructionId, timestamp });
    this.#stream.write({ logEntries: [entry] });
  }

  close(): void {
    this.#stream.end();
    this.#client.close();
  }
}
