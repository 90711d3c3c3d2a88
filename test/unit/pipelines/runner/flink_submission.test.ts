import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { expect, test } from '@jest/globals';
import { buildGraph, type Construct, fingerprintOf } from '#pipelines/model/graph';
import { create, keyBy } from '#pipelines/model/transforms';
import * as jobApi from '#pipelines/proto/beam_job_api';
import * as jobServers from '#pipelines/proto/beam_job_api.grpc-server';
import { FlinkJobs } from '#pipelines/runner/jobs/flink_jobs';
import { externalEnvironment } from '#pipelines/runner/portable/environment';
import { periodicImpulse } from '#pipelines/transforms/standard/periodic_impulse';

// A submission against a job service and a REST API that answer as Beam 2.62 and Flink 1.19 do.

const unbounded: Construct = (root) =>
  void root.apply(periodicImpulse({ start: 0, intervalMs: 1_000 })).apply(keyBy(() => 'k'));
const bounded: Construct = (root) => void root.apply(create([1])).apply(keyBy(() => 'k'));

async function submitted(construct: Construct, more: { readonly savepoint?: string } = {}) {
  let options: Readonly<Record<string, unknown>> = {};
  let isStarted = false;
  let onLeft: () => void = () => {};
  const left = new Promise<void>((resolve) => {
    onLeft = resolve;
  });
  const server = new grpc.Server();
  const service = {
    prepare({ request }: { request: jobApi.PrepareJobRequest }, callback: (error: null, value: object) => void) {
      const fields = Object.entries(request.pipelineOptions?.fields ?? {});
      options = Object.fromEntries(
        fields.map(([name, { kind }]) => [name.replace(/^beam:option:(.*):v1$/, '$1'), Object.values(kind).at(-1)]),
      );
      callback(null, jobApi.PrepareJobResponse.create({ preparationId: 'p' }));
    },
    run(_: unknown, callback: (error: null, value: object) => void) {
      isStarted = true;
      callback(null, jobApi.RunJobResponse.create({ jobId: 'features_1' }));
    },
    // Messages of a job that runs: the stream stays open until the client leaves.
    getMessageStream(call: grpc.ServerWritableStream<unknown, unknown>) {
      call.on('cancelled', onLeft);
    },
    getState(_: unknown, callback: (error: null, value: object) => void) {
      callback(null, jobApi.JobStateEvent.create({ state: jobApi.JobState_Enum.RUNNING }));
    },
  };
  server.addService(jobServers.jobServiceDefinition as never, service as never);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  let asked = 0;
  const rest = createServer((_, response) => {
    asked += isStarted ? 1 : 0;
    const tasks = { total: 3, running: asked > 2 ? 3 : 0, finished: 0 };
    const job = { jid: 'f1', name: 'features', state: 'RUNNING', 'start-time': 5, 'end-time': -1, tasks };
    response.end(JSON.stringify({ jobs: isStarted ? [job] : [] }));
  });
  await new Promise<void>((resolve) => rest.listen(0, '127.0.0.1', resolve));
  const jobs = new FlinkJobs({
    restUrl: `http://127.0.0.1:${(rest.address() as AddressInfo).port}`,
    ...{ jobEndpoint: `127.0.0.1:${port}`, pollMs: 1 },
  });
  try {
    const job = await jobs.submit({
      ...{ name: 'features', construct, environment: externalEnvironment('localhost:1'), ...more },
      runnerOptions: { parallelism: 4 },
    });
    await left;
    return { job, options };
  } finally {
    server.forceShutdown();
    rest.closeAllConnections();
    rest.close();
  }
}

test('a job is handed over when all of its tasks run, and the submitter leaves it; it takes checkpoints and keeps its graph', async () => {
  const { job, options } = await submitted(unbounded);
  expect(job).toMatchObject({ id: 'f1', name: 'features', state: 'running' });
  expect(options).toMatchObject({
    ...{ job_name: 'features', attached_mode: false, streaming: true, parallelism: 4 },
    ...{ checkpointing_interval: 10_000, retain_externalized_checkpoints_on_cancellation: true },
    headwater_graph: fingerprintOf(buildGraph(unbounded)),
  });
  expect(options).not.toHaveProperty('savepoint_path');
}, 30_000);

test('one that ends takes none; a savepoint is begun from, and nothing of it is dropped unless that is allowed', async () => {
  const { options } = await submitted(bounded, { savepoint: 's3://bucket/savepoint-1' });
  expect(options).not.toHaveProperty('checkpointing_interval');
  expect(options).toMatchObject({ savepoint_path: 's3://bucket/savepoint-1', allow_non_restored_state: false });
}, 30_000);
