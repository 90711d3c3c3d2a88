import * as grpc from '@grpc/grpc-js';
import { expect, test } from '@jest/globals';
import { Worker } from '#pipelines/harness/worker';
import type * as fnApi from '#pipelines/proto/beam_fn_api';
import * as fnServers from '#pipelines/proto/beam_fn_api.grpc-server';
import * as provisionApi from '#pipelines/proto/beam_provision_api';
import * as provisionServers from '#pipelines/proto/beam_provision_api.grpc-server';

test('a worker says what it is doing when its runner wants to know', async () => {
  const server = new grpc.Server();
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const provisioned = provisionApi.GetProvisionInfoResponse.create({
    info: provisionApi.ProvisionInfo.create({ statusEndpoint: { url: `127.0.0.1:${port}` } }),
  });
  // A runner that only provisions workers and asks for their status.
  const answered = new Promise<{ workerId: unknown; response: fnApi.WorkerStatusResponse }>((resolve) => {
    server.addService(
      fnServers.beamFnWorkerStatusDefinition as never,
      {
        workerStatus(call: grpc.ServerDuplexStream<fnApi.WorkerStatusResponse, fnApi.WorkerStatusRequest>) {
          const [workerId] = call.metadata.get('worker_id');
          call.on('data', (response: fnApi.WorkerStatusResponse) => resolve({ workerId, response }));
          call.write({ id: 'question 1' });
        },
      } as never,
    );
  });
  server.addService(
    provisionServers.provisionServiceDefinition as never,
    {
      getProvisionInfo: (_: unknown, callback: (error: null, value: object) => void) => callback(null, provisioned),
    } as never,
  );
  server.addService(
    fnServers.beamFnControlDefinition as never,
    { control() {}, getProcessBundleDescriptor() {} } as never,
  );
  const url = `127.0.0.1:${port}`;
  const worker = new Worker({ id: 'worker-7', controlUrl: url, provisionUrl: url, construct: () => {} });
  try {
    const { workerId, response } = await answered;
    expect(workerId).toBe('worker-7');
    expect(response).toMatchObject({ id: 'question 1', error: '' });
    expect(JSON.parse(response.statusInfo)).toMatchObject({
      workerId: 'worker-7',
      runningBundles: [],
      rssBytes: expect.any(Number),
    });
  } finally {
    await worker.stop();
    server.forceShutdown();
  }
});
