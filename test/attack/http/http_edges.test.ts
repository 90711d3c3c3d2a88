import { mkdtempSync, rmSync } from 'node:fs';
import { METHODS } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Platform, startPlatform } from '#cli/roles/platform';
import { ROLES, type Role } from '#cli/terminal/choices';
import { silentLogger } from '#monitoring/log';
import { goodEvent } from '../../support/definitions/good_event.ts';
import { fraudDetectorVersion, testProject } from '../../support/platforms/test_project.ts';

// What no HTTP client sends: bytes on the socket of every listener of a real platform. Each request gets an answer in the form of its route.

const MODEL = 'fraud_detector';
let folder: string;
let platform: Platform;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'http-edges-'));
  const ports = { GATEWAY_PORT: '0', PIPELINE_PORT: '0', FEATURE_API_PORT: '0', API_PORT: '0', MONITOR_PORT: '0' };
  const config = testProject(
    { ...ports, DATA_DIRECTORY: join(folder, 'data') },
    { 'serving.models': [{ name: MODEL }], 'serving.onDemand': {} },
  );
  platform = await startPlatform(config, silentLogger, ROLES, async ({ registry }) => {
    await registry.register({ ...(await fraudDetectorVersion()), name: MODEL });
    await registry.transition(MODEL, 1, 'Production');
  });
}, 180_000);
afterAll(async () => {
  await platform?.services[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}, 120_000);

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Sends bytes, piece by piece, and returns all answers until the listener closes the connection. */
function exchange(role: Role, ...pieces: readonly string[]): Promise<Answer[]> {
  const { hostname, port } = new URL(platform.urls[role] as string);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(Number(port), hostname, async () => {
      for (const piece of pieces) {
        socket.write(piece.replaceAll('HOST', `${hostname}:${port}`), 'latin1');
        await new Promise((wait) => setTimeout(wait, pieces.length > 1 ? 60 : 0));
      }
    });
    socket.setTimeout(20_000, () => socket.destroy(new Error(`no answer to ${pieces.join('|')}`)));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => resolve(answersIn(Buffer.concat(chunks).toString('latin1'))));
  });
}

function answersIn(text: string): Answer[] {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return [];
  const [line = '', ...lines] = text.slice(0, end).split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(line)?.[1]);
  const pairs = lines.map((each) => each.split(/:\s*(.*)/s, 2) as [string, string]);
  const headers = Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), value]));
  let body = text.slice(end + 4);
  let rest = '';
  if (headers['content-length'] !== undefined || status === 100 || status === 204) {
    const length = Number(headers['content-length'] ?? 0);
    [body, rest] = [body.slice(0, length), body.slice(length)];
  } else if (headers['transfer-encoding'] === 'chunked') {
    let whole = '';
    for (;;) {
      const [size = '0'] = body.split('\r\n', 1);
      const from = size.length + 2;
      const length = Number.parseInt(size, 16);
      whole += body.slice(from, from + length);
      body = body.slice(from + length + 2);
      if (length === 0) break;
    }
    [body, rest] = [whole, body];
  }
  return [{ status, headers, body }, ...answersIn(rest)];
}

const LIVE = 'GET /health/live HTTP/1.1\r\nHost: HOST\r\n\r\n';
const get = (...headers: string[]): string =>
  `GET /health/live HTTP/1.1\r\n${['Host: HOST', 'Connection: close', ...headers].map((each) => `${each}\r\n`).join('')}\r\n`;
const post = (path: string, headers: readonly string[], body = ''): string =>
  `POST ${path} HTTP/1.1\r\n${['Host: HOST', ...headers].map((each) => `${each}\r\n`).join('')}\r\n${body}`;
const CHUNKED = ['Content-Type: application/json', 'Transfer-Encoding: chunked'];
const BROKEN_CHUNK = '5\r\n{"a":\r\nZZ\r\n1}\r\n0\r\n\r\n';

/** What a problem document of each must have. */
const CASES: readonly (readonly [what: string, pieces: readonly string[], status: number, code: string])[] = [
  ['no Host', ['GET /health/live HTTP/1.1\r\n\r\n'], 400, 'HTTP_INVALID_HOST'],
  ['two Hosts', [get('Host: other')], 400, 'HTTP_INVALID_HOST'],
  ['two equal Hosts, in other letters', [get('hOst: HOST')], 400, 'HTTP_INVALID_HOST'],
  ['an unknown expectation', [get('Expect: the-unexpected')], 417, 'HTTP_UNSUPPORTED_EXPECTATION'],
  ['two expectations', [get('Expect: 100-continue, x=y')], 417, 'HTTP_UNSUPPORTED_EXPECTATION'],
  [
    'compressed transfer coding',
    [post('/health/live', ['Connection: close', 'Transfer-Encoding: gzip, chunked'], '0\r\n\r\n')],
    400,
    'HTTP_UNSUPPORTED_TRANSFER_CODING',
  ],
  [
    'chunked before another coding',
    [post('/x', ['Transfer-Encoding: chunked, gzip'], '0\r\n\r\n')],
    400,
    'HTTP_BAD_REQUEST',
  ],
  ['a length and chunks', [post('/x', [...CHUNKED, 'Content-Length: 3'], '0\r\n\r\n')], 400, 'HTTP_BAD_REQUEST'],
  ['two lengths', [post('/x', ['Content-Length: 1', 'Content-Length: 2'], '{}')], 400, 'HTTP_BAD_REQUEST'],
  ['a length that is no number', [post('/x', ['Content-Length: +1'], '{}')], 400, 'HTTP_BAD_REQUEST'],
  ['a version that does not exist', ['GET /health/live HTTP/7.3\r\nHost: HOST\r\n\r\n'], 400, 'HTTP_BAD_REQUEST'],
  ['the preface of HTTP/2', ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'], 400, 'HTTP_BAD_REQUEST'],
  ['no HTTP at all', ['\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\r\n\r\n'], 400, 'HTTP_BAD_REQUEST'],
  ['a header without a colon', [get('no colon here')], 400, 'HTTP_BAD_REQUEST'],
  ['a space before the colon', [get('X-A : b')], 400, 'HTTP_BAD_REQUEST'],
  ['NUL in a header', [get('X-A: \u0000')], 400, 'HTTP_BAD_REQUEST'],
  [
    'a head in pieces that breaks in the last',
    ['GET /health/live HT', 'TP/1.1\r\nHost: HOST\r\n', 'no colon\r\n\r\n'],
    400,
    'HTTP_BAD_REQUEST',
  ],
  ['a head that is too large', [get(`X-A: ${'a'.repeat(40_000)}`)], 431, 'HTTP_HEADERS_TOO_LARGE'],
  [
    'a target that cannot be decoded',
    ['GET /%zz HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n'],
    400,
    'HTTP_BAD_REQUEST',
  ],
  ['a broken chunk', [post('/no/such/route', CHUNKED, BROKEN_CHUNK)], 400, 'HTTP_BAD_REQUEST'],
  [
    'a broken chunk that comes later',
    [post('/no/such/route', CHUNKED), '5\r\n{"a":\r\n', 'ZZ\r\n'],
    400,
    'HTTP_BAD_REQUEST',
  ],
  ['CONNECT', ['CONNECT other.example:443 HTTP/1.1\r\nHost: HOST\r\n\r\n'], 404, 'HTTP_NOT_FOUND'],
];

function expectProblem({ status, headers, body }: Answer, wanted: number, code: string): void {
  const problem = JSON.parse(body) as Record<string, unknown>;
  expect({ status, code: problem.code }).toEqual({ status: wanted, code });
  expect(headers['content-type']).toBe('application/problem+json; charset=utf-8');
  expect(headers['x-content-type-options']).toBe('nosniff');
  expect(headers['x-request-id']).toBe(problem.request_id);
  expect(problem).toMatchObject({ status, title: expect.any(String), detail: expect.stringMatching(/.{20}/) });
}

describe.each(ROLES)('the listener of %s', (role) => {
  it.each(CASES)('answers %s with a problem document, and closes', async (_, pieces, status, code) => {
    const answers = await exchange(role, ...pieces);
    expect(answers.length).toBe(1);
    expectProblem(answers[0] as Answer, status, code);
    expect(answers[0]?.headers.connection).toBe('close');
  });

  it('answers what HTTP/1.0 and HTTP/1.1 allow', async () => {
    const [old] = await exchange(role, 'GET /health/live HTTP/1.0\r\n\r\n');
    expect(old?.status).toBe(200);
    const continued = await exchange(role, get('Expect: 100-continue'));
    expect(continued.map(({ status }) => status)).toEqual([100, 200]);
    const [alone] = await exchange(
      role,
      get('Accept: text/html', 'Accept: */*', 'X-Forwarded-For: a', 'X-Forwarded-For: b'),
    );
    expect(alone?.status).toBe(200);
  });

  it('answers methods that no route has with 405 and what the path takes, known to the parser or not', async () => {
    const unknown = METHODS.filter((method) => !['GET', 'HEAD', 'OPTIONS', 'CONNECT'].includes(method));
    const made = ['QUERY', 'FOO', 'get', 'Get', 'X-Y!', 'BREW', 'GETS', 'POSTX', 'A'];
    for (const method of [...new Set([...unknown, ...made])]) {
      const request = `${method} /health/live?x=1 HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n`;
      const [answer, ...others] = await exchange(role, request);
      expect([method, answer?.status, others.length]).toEqual([method, 405, 0]);
      expectProblem(answer as Answer, 405, 'HTTP_METHOD_NOT_ALLOWED');
      expect(answer?.headers.allow).toBe('GET, HEAD, OPTIONS');
      expect(JSON.parse((answer as Answer).body).detail).toContain(`does not take ${method}:`);
    }
    const [absent] = await exchange(role, 'QUERY /no/such/route HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n');
    expectProblem(absent as Answer, 404, 'HTTP_NOT_FOUND');
  }, 60_000);

  it.each([
    ['a broken head', 'no request\r\n\r\n', 400],
    ['a method known to the parser', 'QUERY /health/live HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n', 405],
    ['an unknown method', 'FOO /health/live HTTP/1.1\r\nHost: HOST\r\n\r\n', 405],
    ['no Host', 'GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['a broken chunk', post('/no/such/route', CHUNKED, BROKEN_CHUNK), 400],
    ['an unknown expectation', get('Expect: x'), 417],
  ])('answers all requests before one with %s, in order, in one packet and in several', async (_, broken, status) => {
    for (const before of [1, 2, 7]) {
      const requests = Array<string>(before).fill(LIVE);
      for (const pieces of [[[...requests, broken].join('')], [...requests, broken]]) {
        const answers = await exchange(role, ...pieces);
        expect(answers.map((answer) => answer.status)).toEqual([...requests.map(() => 200), status]);
      }
    }
  });

  it('lives on', async () => {
    const [answer] = await exchange(role, get());
    expect([answer?.status, answer?.body]).toEqual([200, '{"status":"live"}']);
  });
});

describe('routes of foreign protocols', () => {
  const FORMS: readonly (readonly [path: string, form: object])[] = [
    [`/v2/models/${MODEL}/infer`, { error: expect.any(String) }],
    ['/invocations', { error_code: expect.any(String), message: expect.any(String) }],
    [`/endpoints/${MODEL}/invocations`, { Message: expect.any(String) }],
  ];
  it.each(FORMS)('%s answers in its form', async (path, form) => {
    const close = 'Connection: close';
    const requests: readonly (readonly [number, ...string[]])[] = [
      [400, post(path, CHUNKED, BROKEN_CHUNK)],
      [400, post(path, CHUNKED), '5\r\n{"a":\r\n', 'ZZ\r\n'],
      [400, post(path, [...CHUNKED, 'Content-Encoding: gzip'], BROKEN_CHUNK)],
      [400, `POST ${path} HTTP/1.1\r\n\r\n`],
      [400, post(path, [close, 'Host: x'])],
      [417, post(path, [close, 'Expect: x'])],
      [400, post(path, [close, 'Transfer-Encoding: gzip, chunked'], '0\r\n\r\n')],
      [405, `QUERY ${path} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n`],
      [400, post(path, ['no colon'])],
      [431, post(path, [`X-A: ${'a'.repeat(40_000)}`])],
      [
        400,
        post(path, [close, 'Content-Type: application/json', 'Content-Type: text/plain', 'Content-Length: 2'], '{}'),
      ],
    ];
    for (const [status, ...pieces] of requests) {
      const [answer, ...others] = await exchange('serving', ...pieces);
      expect([pieces[0], answer?.status, others.length]).toEqual([pieces[0], status, 0]);
      expect(JSON.parse((answer as Answer).body)).toEqual(form);
      expect(answer?.headers['content-type']).toBe('application/json; charset=utf-8');
    }
  });
});

const json = (value: unknown): readonly [headers: readonly string[], body: string] => {
  const body = JSON.stringify(value);
  return [['Connection: close', 'Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`], body];
};

describe('names that come twice', () => {
  const tensor = (name: string) => ({ name, shape: [1], datatype: 'FP64', data: [1] });
  it.each([
    [
      'an input',
      `/v2/models/${MODEL}/infer`,
      { inputs: [tensor('amount'), tensor('amount')] },
      /input amount was sent more than once/,
    ],
    [
      'an output',
      `/v2/models/${MODEL}/infer`,
      { inputs: [tensor('amount')], outputs: [{ name: 'prediction' }, { name: 'prediction' }] },
      /output prediction was sent more than once/,
    ],
    [
      'a column',
      '/invocations',
      { dataframe_split: { columns: ['amount', 'amount'], data: [[1, 2]] } },
      /column amount was sent more than once/,
    ],
    ['a key of JSON', '/invocations', '{"inputs":{"amount":[1],"amount":[2]}}', /amount/],
  ])('%s is refused by name', async (_, path, value, message) => {
    const [headers, text] = json(value);
    const body = typeof value === 'string' ? value : text;
    const own = headers.map((each) => each.replace(/Content-Length: .*/, `Content-Length: ${body.length}`));
    const [answer] = await exchange('serving', post(path, own, body));
    expect([answer?.status, answer?.body]).toEqual([expect.any(Number), expect.stringMatching(message)]);
    expect([400, 422]).toContain(answer?.status);
  });

  it('an empty list of outputs is all of them', async () => {
    const { inputs } = JSON.parse(
      (
        (
          await exchange('serving', `GET /v2/models/${MODEL} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n`)
        )[0] as Answer
      ).body,
    ) as { readonly inputs: readonly { name: string; datatype: string; shape: number[] }[] };
    const tensors = inputs.map(({ name, datatype, shape }) => {
      const one = shape.map((size) => Math.max(1, size));
      const value = datatype === 'BYTES' ? 'x' : datatype === 'BOOL' ? true : 1;
      const size = one.reduce((product, part) => product * part, 1);
      return { name, datatype, shape: one, data: new Array(size).fill(value) };
    });
    const send = async (more: object) => {
      const [answer] = await exchange(
        'serving',
        post(`/v2/models/${MODEL}/infer`, ...json({ inputs: tensors, ...more })),
      );
      return [answer?.status, (JSON.parse((answer as Answer).body) as { outputs?: unknown }).outputs];
    };
    expect(await send({ outputs: [] })).toEqual(await send({}));
    expect((await send({}))[0]).toBe(200);
  });

  it.each([
    ['ce-id', ['ce-id: 1', 'ce-id: 2', 'ce-specversion: 1.0', 'ce-type: transaction', 'ce-source: /x']],
    ['content-type', ['Content-Type: text/plain']],
    ['x-api-key', ['X-Api-Key: a', 'X-Api-Key: b']],
    ['authorization', ['Authorization: Bearer a', 'authorization: Bearer b']],
  ])('the header %s is refused by name at the gateway', async (name, more) => {
    const [headers, body] = json(goodEvent('edge'));
    const [answer] = await exchange('gateway', post('/ingest', [...headers, ...more], body));
    expectProblem(answer as Answer, 400, 'HTTP_REPEATED_HEADER');
    expect(answer?.body).toContain(`the header ${name} was sent more than once`);
  });
});

describe('query parameters of lines', () => {
  const lines = (query: string): string =>
    post(
      `/predict/batch${query}`,
      ['Connection: close', 'Content-Type: application/x-ndjson', 'Content-Length: 3'],
      '{}\n',
    );
  it.each([
    ['?modelname=x', /query\.modelname/],
    ['?return_probabilities=yes', /query\.return_probabilities/],
    [`?model_name=${MODEL}&model_name=${MODEL}`, /query\.model_name/],
    ['?model_name=a&x=1', /query\.x\b/],
  ])('%s is refused by name', async (query, message) => {
    const [answer] = await exchange('serving', lines(query));
    expectProblem(answer as Answer, 400, 'HTTP_INVALID_REQUEST');
    expect(answer?.body).toMatch(message);
  });
  it('belong to lines, and not to JSON', async () => {
    const [taken] = await exchange('serving', lines(`?model_name=${MODEL}&return_probabilities=true`));
    expect(taken?.status).toBe(200);
    for (const value of [{ instances: [{}] }, { entity_ids: ['x'] }, { instances: [[1]], model_name: MODEL }]) {
      const [answer] = await exchange('serving', post(`/predict/batch?model_name=${MODEL}`, ...json(value)));
      expect([answer?.status, answer?.body]).toEqual([
        400,
        expect.stringContaining('query.model_name is for application/x-ndjson'),
      ]);
    }
  });
});

describe('an Origin that is more than an origin', () => {
  const FOREIGN = [
    'http://user@HOST',
    'http://user:password@HOST',
    'http://HOST/path',
    'http://HOST/',
    'http://HOST?x',
    'http://HOST#x',
    'http:\\\\HOST',
    'http://evil.example@HOST',
    'http://HOST@evil.example',
    'http://HOST, http://evil.example',
    'ftp://HOST',
    'null',
    '//HOST',
    'HOST',
  ];
  it.each(FOREIGN)('is foreign: %s', async (origin) => {
    const [headers, body] = json(goodEvent('edge'));
    const [answer] = await exchange('gateway', post('/ingest', [...headers, `Origin: ${origin}`], body));
    expect(answer?.status).toBe(403);
  });
  it.each(['http://HOST', 'https://HOST'])('and %s is the own one', async (origin) => {
    const [headers, body] = json(goodEvent(`of-${origin.length}`));
    const [answer] = await exchange('gateway', post('/ingest', [...headers, `Origin: ${origin}`], body));
    expect(answer?.status).toBe(202);
  });
});
