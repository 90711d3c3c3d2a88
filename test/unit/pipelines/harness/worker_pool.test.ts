import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type PoolTls, WorkerPool, type WorkerRequest } from '#pipelines/harness/worker_pool';
import * as fnApi from '#pipelines/proto/beam_fn_api';
import * as fnClients from '#pipelines/proto/beam_fn_api.grpc-client';

let folder: string;
let tls: PoolTls;
let client: { readonly key: Buffer; readonly certificate: Buffer };
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pool-'));
  const openssl = (...args: readonly string[]): void => {
    const { status, stderr } = spawnSync('openssl', args, { cwd: folder });
    if (status !== 0) throw new Error(String(stderr));
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=authority', '-days', '2');
  writeFileSync(join(folder, 'names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
  for (const name of ['server', 'client']) {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'names'];
    openssl('x509', '-req', '-in', `${name}.csr`, ...signed, '-out', `${name}.pem`);
  }
  const read = (name: string): Buffer => readFileSync(join(folder, name));
  tls = { certificate: read('server.pem'), key: read('server.key'), clientAuthority: read('ca.pem') };
  client = { certificate: read('client.pem'), key: read('client.key') };
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A launcher that keeps what it was called with. */
function recorded() {
  const requests: WorkerRequest[] = [];
  const stopped: string[] = [];
  const launch = (request: WorkerRequest) => {
    requests.push(request);
    return { stop: async () => void stopped.push(request.id) };
  };
  return { launch, requests, stopped };
}

async function startWorker(address: string, credentials: grpc.ChannelCredentials): Promise<string> {
  const pool = new fnClients.BeamFnExternalWorkerPoolClient(address, credentials);
  const endpoints = { controlEndpoint: { url: 'runner:1' }, provisionEndpoint: { url: 'runner:2' } };
  const request = fnApi.StartWorkerRequest.create({ workerId: 'w1', ...endpoints });
  try {
    return await new Promise((resolve, reject) => {
      pool.startWorker(
        request,
        new grpc.Metadata(),
        { deadline: Date.now() + 5_000 },
        (error: grpc.ServiceError | null, response?: fnApi.StartWorkerResponse) =>
          error === null ? resolve(response?.error ?? '') : reject(error),
      );
    });
  } finally {
    pool.close();
  }
}

test.each(['0.0.0.0', '::', '10.1.2.3', 'workers.internal'])('a pool on %s is refused without TLS', async (host) => {
  await expect(WorkerPool.start({ launch: recorded().launch, host })).rejects.toThrow(
    `a worker pool on ${host} can be reached from other machines`,
  );
});

test('a pool on this machine starts the workers that are requested, and stops them with itself', async () => {
  const { launch, requests, stopped } = recorded();
  const pool = await WorkerPool.start({ launch, host: 'localhost' });
  expect(await startWorker(pool.address, grpc.credentials.createInsecure())).toBe('');
  expect(requests).toEqual([{ id: 'w1', controlUrl: 'runner:1', provisionUrl: 'runner:2' }]);
  await pool.stop();
  expect(stopped).toEqual(['w1']);
});

test('a pool beyond this machine takes clients with a certificate of its authority, and no others', async () => {
  const { launch, requests } = recorded();
  const pool = await WorkerPool.start({ launch, host: '0.0.0.0', tls });
  const address = pool.address.replace('0.0.0.0', 'localhost');
  try {
    for (const stranger of [grpc.credentials.createInsecure(), grpc.credentials.createSsl(tls.clientAuthority)])
      await expect(startWorker(address, stranger)).rejects.toThrow(/UNAVAILABLE|DEADLINE_EXCEEDED/);
    expect(requests).toEqual([]);
    const known = grpc.credentials.createSsl(tls.clientAuthority, client.key, client.certificate);
    expect(await startWorker(address, known)).toBe('');
    expect(requests).toHaveLength(1);
  } finally {
    await pool.stop();
  }
}, 30_000);
