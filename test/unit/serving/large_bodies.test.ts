import { once } from 'node:events';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { codecOf } from '#serving/protocol/grpc/open_inference_proto';
import type { OpenInferenceService } from '#serving/protocol/grpc/open_inference_service';
import { serveTiny, type TinyServing } from '../../support/platforms/tiny_serving.ts';

// Bodies beyond the limit, on every route that takes one: the status is what a client reads that sends all of its body first, as most do.

const MAX_BODY_BYTES = 100_000;
/** More than the buffers of a connection hold: the answer is there while the client still sends. */
const LARGE_BYTES = 24 * 1_024 * 1_024;

let serving: TinyServing;
beforeAll(async () => {
  serving = await serveTiny({ maxBodyBytes: MAX_BODY_BYTES, grpc: { port: 0 } });
  await serving.service.start();
});
afterAll(() => serving.stop());

interface Route {
  readonly method: string;
  readonly path: string;
}

/** Routes with a body, as GET /openapi.json lists them. */
async function routesWithBody(): Promise<Route[]> {
  const { paths } = (await (await fetch(`${serving.service.url}/openapi.json`)).json()) as {
    readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly requestBody?: object }>>>>;
  };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, { requestBody }]) => requestBody !== undefined)
      .map(([method]) => ({
        method: method.toUpperCase(),
        path: path.replaceAll('{name}', 'tiny').replaceAll(/\{\w+\}/g, '1'),
      })),
  );
}

const CODINGS = ['length', 'chunked', 'gzip'] as const;

/** Sends a body to its end and reads only then. @returns what was read, and the error of the connection */
async function sendFirst(
  { method, path }: Route,
  headers: Readonly<Record<string, string>>,
  body: Buffer,
  coding: (typeof CODINGS)[number],
): Promise<{ readonly text: string; readonly error: string | undefined }> {
  const { hostname, port, host } = new URL(serving.service.url);
  const socket = connect(Number(port), hostname).pause();
  let error: string | undefined;
  socket.on('error', ({ code }: NodeJS.ErrnoException) => {
    error = code;
  });
  const sent = coding === 'gzip' ? gzipSync(body, { level: 1 }) : body;
  const own = {
    ...{ host, ...headers },
    ...(coding === 'chunked' ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(sent.length) }),
    ...(coding === 'gzip' ? { 'content-encoding': 'gzip' } : {}),
  };
  const lines = Object.entries(own).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
  const closed = once(socket, 'close').catch(() => {});
  for (let at = 0; at < sent.length && !socket.destroyed; at += 65_536) {
    const piece = sent.subarray(at, at + 65_536);
    const isChunked = coding === 'chunked';
    if (isChunked) socket.write(`${piece.length.toString(16)}\r\n`);
    const isRoom = socket.write(piece);
    if (isChunked) socket.write('\r\n');
    if (!isRoom) await Promise.race([once(socket, 'drain').catch(() => {}), closed]);
  }
  if (coding === 'chunked' && !socket.destroyed) socket.write('0\r\n\r\n');
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
    // Answers that keep the connection open end with their body.
    const [head, rest] = text.split('\r\n\r\n') as [string, string?];
    const length = /^content-length: (\d+)/im.exec(head)?.[1];
    if (rest !== undefined && length !== undefined && Buffer.byteLength(rest) >= Number(length)) socket.end();
  });
  socket.resume();
  await closed;
  return { text, error };
}

test('a body beyond the limit is answered 413 on every route, and a client that sends all of it first reads that', async () => {
  const routes = await routesWithBody();
  expect(routes.length).toBeGreaterThanOrEqual(12);
  const json = Buffer.alloc(LARGE_BYTES, 0x20);
  const bodies = routes.map((route) => ({ route, headers: { 'content-type': 'application/json' } }));
  const binary = { 'content-type': 'application/octet-stream', 'inference-header-content-length': '100' };
  const wrong: unknown[] = [];
  for (const { route, headers } of [
    ...bodies,
    { route: { method: 'POST', path: '/v2/models/tiny/infer' }, headers: binary },
    { route: { method: 'POST', path: '/v2/models/tiny/versions/1/infer' }, headers: binary },
    { route: { method: 'POST', path: '/invocations' }, headers: { 'content-type': 'text/csv' } },
    { route: { method: 'POST', path: '/endpoints/tiny/invocations' }, headers: { 'content-type': 'text/csv' } },
  ]) {
    for (const coding of CODINGS) {
      const { text, error } = await sendFirst(route, headers, json, coding);
      const isRight = text.startsWith('HTTP/1.1 413 ') && /[a-z]{4}/.test(text.split('\r\n\r\n')[1] ?? '');
      if (error !== undefined || !isRight) wrong.push([route, headers, coding, error, text.slice(0, 200)]);
    }
  }
  expect(wrong).toEqual([]);
}, 120_000);

test('a line beyond the limit is refused alone, the line after it is answered', async () => {
  const features = JSON.stringify({ amount: 10, count: 3, weekend: true, category: 'b' });
  const answer = await fetch(`${serving.service.url}/predict/batch`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/x-ndjson' } },
    body: `"${'x'.repeat(LARGE_BYTES)}"\n${features}\n`,
  });
  const lines = (await answer.text()).trim().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { line: 1, error: expect.objectContaining({ message: expect.stringContaining(`longer than ${MAX_BODY_BYTES}`) }) },
    { prediction: 'fraud' },
  ]);
}, 60_000);

test.each(['ModelInfer', 'ModelStreamInfer'])('gRPC’s %s ends with RESOURCE_EXHAUSTED', async (method) => {
  const { port } = serving.service.beside as OpenInferenceService;
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const message = {
    model_name: 'tiny',
    inputs: [{ name: 'features', datatype: 'FP32', shape: [100_000, 4] }],
    raw_input_contents: [Buffer.alloc(1_600_000)],
  };
  const { serialize } = codecOf('inference.ModelInferRequest');
  const path = `/inference.GRPCInferenceService/${method}`;
  try {
    const error = await new Promise<ServiceError>((resolve, reject) => {
      if (method === 'ModelInfer') {
        client.makeUnaryRequest(
          path,
          serialize,
          (bytes) => bytes,
          message,
          new Metadata(),
          (failed) => (failed === null ? reject(new Error('it was answered')) : resolve(failed)),
        );
        return;
      }
      const stream = client.makeBidiStreamRequest(path, serialize, (bytes) => bytes);
      stream.on('error', (failed) => resolve(failed as ServiceError));
      stream.on('data', () => reject(new Error('it was answered')));
      stream.write(message);
    });
    expect([error.code, error.details]).toEqual([status.RESOURCE_EXHAUSTED, expect.stringMatching(/larger than max/)]);
  } finally {
    client.close();
  }
});
