import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import axios from 'axios';
import got from 'got';
import ky from 'ky';
import { assetPath } from '#kernel/project_root';
import { virtualEnvironment } from '#registry/trainers/python_environment';
import { type Listeners, startListeners } from '../support/hostile/listeners.ts';

// Every example of the three OpenAPI documents, sent by the clients that people use with their own defaults: forms of content types, chunked and
// gzipped bodies, `Expect: 100-continue`, connections that are kept. Each gets the answer that the plainest client gets, and a documented one.

interface Media {
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}
interface Operation {
  readonly requestBody?: { readonly content: Readonly<Record<string, Media>> };
  readonly responses: Readonly<Record<string, unknown>>;
  readonly parameters?: readonly {
    readonly in: string;
    readonly name: string;
    readonly example?: unknown;
    readonly required?: boolean;
  }[];
}
interface Request {
  readonly name: string;
  readonly url: string;
  readonly method: string;
  readonly type: string;
  /** Undefined: there is none. */
  readonly body: string | undefined;
  readonly documented: readonly string[];
}

let listeners: Listeners;
let requests: readonly Request[];
beforeAll(async () => {
  listeners = await startListeners();
  const apis = [listeners.gateway.url, listeners.features.url, listeners.serving.url];
  requests = (await Promise.all(apis.map(requestsOf))).flat();
}, 240_000);
afterAll(async () => listeners.stop());

async function requestsOf(base: string): Promise<readonly Request[]> {
  const { paths } = (await (await fetch(`${base}/openapi.json`)).json()) as {
    readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, operation]) => requestsOfOperation(base, path, method, operation)),
  );
}

function requestsOfOperation(base: string, path: string, method: string, operation: Operation): readonly Request[] {
  const { requestBody, responses, parameters = [] } = operation;
  const exampleOf = (name: string): string =>
    encodeURIComponent(String(parameters.find((each) => each.in === 'path' && each.name === name)?.example));
  const url = `${base}${path.replace(/\{(\w+)\}/g, (_, name: string) => exampleOf(name))}`;
  const documented = Object.keys(responses);
  const request = { url, method: method.toUpperCase(), documented };
  const name = `${request.method} ${path}`;
  if (requestBody === undefined) return [{ ...request, name, type: '', body: undefined }];
  return Object.entries(requestBody.content).flatMap(([type, { example, examples = {} }]) =>
    [...(example === undefined ? [] : [example]), ...Object.values(examples).map(({ value }) => value)].map(
      (value, index): Request => ({
        ...{ ...request, name: `${name} ${type} ${index}`, type },
        body: typeof value === 'string' ? value : JSON.stringify(value),
      }),
    ),
  );
}

/** Events are accepted once and then are repetitions. */
const outcomeOf = (status: number): number => (status === 202 ? 200 : status);

const plainly = async ({ url, method, type, body }: Request): Promise<number> =>
  statusOf(await fetch(url, { method, ...(body === undefined ? {} : { headers: { 'content-type': type }, body }) }));
async function statusOf(answer: Response): Promise<number> {
  await answer.arrayBuffer();
  return answer.status;
}

const stream = (body: string): ReadableStream => new Blob([body]).stream();

/** Clients of JavaScript, each with a body. */
const NODE: Readonly<Record<string, (request: Request & { readonly body: string }) => Promise<number>>> = {
  'fetch, a stream': async ({ url, method, type, body }) =>
    statusOf(
      await fetch(url, {
        method,
        headers: { 'content-type': type },
        body: stream(body),
        duplex: 'half',
      } as RequestInit),
    ),
  'fetch, gzip': async ({ url, method, type, body }) =>
    statusOf(
      await fetch(url, {
        ...{ method, body: gzipSync(body) },
        headers: { 'content-type': type, 'content-encoding': 'gzip' },
      }),
    ),
  'fetch, a charset in capitals': async ({ url, method, type, body }) =>
    statusOf(
      await fetch(url, {
        method,
        headers: { 'content-type': `${type.toUpperCase()}; Charset="UTF-8"`, accept: '*/*' },
        body,
      }),
    ),
  'fetch, a Blob with a byte order mark': async ({ url, method, type, body }) =>
    statusOf(await fetch(url, { method, body: new Blob(['\ufeff', body], { type }) })),
  axios: async ({ url, method, type, body }) =>
    (
      await axios.request({
        ...{ url, method, validateStatus: () => true, headers: { 'content-type': type } },
        data: type === 'application/json' ? JSON.parse(body) : body,
      })
    ).status,
  ky: async ({ url, method, type, body }) =>
    statusOf(
      await ky(url, {
        ...{ method, throwHttpErrors: false, retry: 0 },
        ...(type === 'application/json' ? { json: JSON.parse(body) } : { body, headers: { 'content-type': type } }),
      }),
    ),
  got: async ({ url, method, type, body }) =>
    (
      await got(url, {
        ...{ method: method as 'POST', throwHttpErrors: false, retry: { limit: 0 } },
        ...(type === 'application/json' ? { json: JSON.parse(body) } : { body, headers: { 'content-type': type } }),
      })
    ).statusCode,
};

/** Arguments of curl for a body that it reads from its input. */
const CURL: Readonly<Record<string, (type: string) => readonly string[]>> = {
  'curl --data-binary': (type) => ['-H', `content-type: ${type}`, '--data-binary', '@-'],
  'curl, Expect: 100-continue': (type) => [
    '-H',
    `content-type: ${type}`,
    '-H',
    'Expect: 100-continue',
    '--data-binary',
    '@-',
  ],
  'curl, chunked and compressed': (type) => [
    ...['-H', `content-type: ${type}`, '-H', 'Transfer-Encoding: chunked', '--compressed', '--data-binary', '@-'],
  ],
  'curl, HTTP/1.0': (type) => ['--http1.0', '-H', `content-type: ${type}`, '--data-binary', '@-'],
};

async function curl(args: readonly string[], input: string): Promise<number> {
  const child = spawn('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', '--max-time', '30', ...args]);
  child.stdin.end(input);
  return Number(await text(child.stdout));
}

test('there are examples of every kind', () => {
  expect(requests.length).toBeGreaterThan(25);
  expect(new Set(requests.map(({ type }) => type)).size).toBeGreaterThan(4);
});

test('each example gets a documented answer that is no failure of the server, and is taken as what it says it is', async () => {
  const wrong: unknown[] = [];
  for (const request of requests) {
    const status = await plainly(request);
    if (!request.documented.includes(String(status)) || status >= 500 || status === 415)
      wrong.push([request.name, status]);
  }
  expect(wrong).toEqual([]);
});

test('an example that the caller sends unchanged succeeds, where nothing else is needed', async () => {
  const events = requests.filter(({ url, body }) => url.endsWith('/ingest') && body !== undefined);
  expect(events.length).toBeGreaterThan(1);
  expect(await Promise.all(events.map(async (request) => [request.name, outcomeOf(await plainly(request))]))).toEqual(
    events.map(({ name }) => [name, 200]),
  );
});

test('fetch, axios, ky, got and curl with their defaults get the same answer', async () => {
  const wrong: unknown[] = [];
  for (const request of requests) {
    const expected = outcomeOf(await plainly(request));
    const see = (way: string, status: number) => {
      if (outcomeOf(status) !== expected) wrong.push([request.name, way, status, expected]);
    };
    const { url, method, type, body } = request;
    if (body === undefined) {
      see('curl', await curl(['-X', method, url], ''));
      see('axios', (await axios.request({ url, method, validateStatus: () => true })).status);
      continue;
    }
    for (const [way, send] of Object.entries(NODE)) see(way, await send({ ...request, body }));
    for (const [way, args] of Object.entries(CURL)) see(way, await curl(['-X', method, ...args(type), url], body));
  }
  expect(wrong).toEqual([]);
}, 300_000);

const CODINGS: Readonly<Record<string, (body: string) => Uint8Array>> = {
  ...{ gzip: gzipSync, GZIP: gzipSync, 'x-gzip': gzipSync, ' Gzip ': gzipSync },
  ...{ deflate: deflateSync, br: brotliCompressSync, identity: Buffer.from, Identity: Buffer.from },
};

test('every route reads the same content codings, in any case; others are 415, broken ones 400, bombs 413', async () => {
  const wrong: unknown[] = [];
  const bomb = gzipSync(Buffer.alloc(64 * 1_024 * 1_024, 0x20));
  for (const request of requests) {
    const { url, method, type, body, name } = request;
    if (body === undefined) continue;
    const send = async (coding: string, bytes: Uint8Array) =>
      outcomeOf(
        await statusOf(
          await fetch(url, {
            method,
            body: new Blob([Uint8Array.from(bytes)]),
            headers: { 'content-type': type, 'content-encoding': coding },
          }),
        ),
      );
    const expected = outcomeOf(await plainly(request));
    for (const [coding, encode] of Object.entries(CODINGS)) {
      const status = await send(coding, encode(body));
      if (status !== expected) wrong.push([name, coding, status, expected]);
    }
    for (const coding of ['compress', 'gzip, gzip', 'none']) {
      const status = await send(coding, gzipSync(body));
      if (status !== 415) wrong.push([name, coding, status, 415]);
    }
    const broken = await send('gzip', gzipSync(body).subarray(0, 12));
    if (broken !== 400) wrong.push([name, 'cut', broken, 400]);
    const bombed = await send('gzip', bomb);
    if (bombed !== 413) wrong.push([name, 'bomb', bombed, 413]);
  }
  expect(wrong).toEqual([]);
}, 300_000);

test('requests and httpx with their defaults get the same answer', async () => {
  const python = await virtualEnvironment(assetPath('test/support/guests/cloudevents_requirements.txt'), {
    onLine: () => {},
  });
  const child = spawn(python, [assetPath('test/support/guests/openapi_guests.py')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(JSON.stringify(requests.map((request) => ({ ...request, body: request.body ?? null }))));
  const answers = (await text(child.stdout)).trim().split('\n');
  expect(answers).toHaveLength(requests.length);
  const wrong: unknown[] = [];
  for (const [index, request] of requests.entries()) {
    const { statuses } = JSON.parse(answers[index] as string) as {
      readonly statuses: Readonly<Record<string, number>>;
    };
    const expected = outcomeOf(await plainly(request));
    for (const [way, status] of Object.entries(statuses)) {
      if (outcomeOf(status) !== expected) wrong.push([request.name, way, status, expected]);
    }
  }
  expect(wrong).toEqual([]);
}, 300_000);
