import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { OutgoingRecord } from '#connectors/connector';
import { RecordRefusedError, RecordTooLargeError } from '#connectors/errors';
import { createFileSystems } from '#connectors/files/file_systems';
import { goodEvent } from '../../support/definitions/good_event.ts';
import { type Listeners, startListeners } from '../../support/hostile/listeners.ts';

// Strange requests to every listener: no 500, no unhandled rejection, no hang, and no good event of another client harmed.

let listeners: Listeners;
const unhandled: unknown[] = [];
const note = (error: unknown): void => void unhandled.push(error);
/** The broker refuses records with one of these: with all that is sent together, or alone, each in two ways. */
const POISON = 'never-taken';
const TOO_LARGE = 'too-large-for-the-topic';
const refusing = (mark: string) => (record: OutgoingRecord) => {
  const value = String(record.value);
  if (value.includes(`${POISON}-${mark}`)) {
    return new RecordRefusedError('broker', 'raw-events', record.key, 'its schema is not known');
  }
  const size = { sizeBytes: value.length, maxBytes: 10 };
  return value.includes(`${TOO_LARGE}-${mark}`) && !value.includes('"stage"')
    ? new RecordTooLargeError('broker', 'raw-events', record.key, size)
    : undefined;
};
const lettersFolder = mkdtempSync(join(tmpdir(), 'letters-'));

beforeAll(async () => {
  process.on('unhandledRejection', note);
  listeners = await startListeners(
    { maxBatchItems: 2_000, maxAnswerBytes: 100_000 },
    {
      ...{ refuse: refusing('together'), refuseAlone: refusing('alone') },
      large: { directory: lettersFolder, fileSystems: createFileSystems() },
    },
  );
}, 240_000);
afterAll(async () => {
  await listeners.stop();
  process.off('unhandledRejection', note);
  rmSync(lettersFolder, { recursive: true });
});

const services = () => [listeners.gateway, listeners.features, listeners.serving];
const json = { 'content-type': 'application/json' };

async function post(url: string, body: RequestInit['body'], headers: Record<string, string> = json) {
  const answer = await fetch(url, {
    method: 'POST',
    body: body as never,
    headers,
    signal: AbortSignal.timeout(90_000),
  });
  const text = await answer.text();
  return { status: answer.status, text, headers: answer.headers, body: parsed(text) };
}
function parsed(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}
const acceptedIds = (): ReadonlySet<string> =>
  new Set((listeners.sent.get('raw-events') ?? []).map(({ value }) => String(JSON.parse(String(value)).event_id)));
const letters = () =>
  (listeners.sent.get('dead-letter-queue') ?? []).map(({ value }) => JSON.parse(String(value)) as { reason: string });

/** Every path of a listener that takes a body, from its own document. */
async function postPaths(url: string): Promise<readonly string[]> {
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: Record<string, object> };
  const paths = Object.entries(document.paths).filter(([, methods]) => 'post' in methods || 'put' in methods);
  expect(paths.length).toBeGreaterThan(0);
  return paths.map(([path]) => path.replace(/\{[^}]*\}/g, 'tiny'));
}

/** Sends bytes as they are; resolves with what came back when the other side has nothing more to say. */
function raw(port: number, bytes: Buffer | string, waitMs = 300): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    const end = () => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
    });
    socket.on('error', end).on('close', end);
    socket.on('connect', () => socket.write(bytes));
    setTimeout(end, waitMs);
  });
}
const portOf = (url: string): number => Number(new URL(url).port);

const HOSTILE: readonly (readonly [string, string | Buffer])[] = [
  ['bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0xfe, 0x22, 0x7d])],
  ['a surrogate in CESU-8', Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x7d])],
  ['a repeated key', '{"event_id":"x","event_id":"y"}'],
  ['a repeated key, escaped', '{"event_id":"x","event_\\u0069d":"y"}'],
  ['__proto__', '{"__proto__":{"isAdmin":true}}'],
  ['constructor.prototype', '{"a":{"constructor":{"prototype":{"x":1}}}}'],
  ['NUL in a value', '{"device_type":"w\\u0000b"}'],
  ['NUL in a key', '{"a\\u0000":1}'],
  ['half a surrogate pair', '{"a":"\\ud800"}'],
  ['an integer that no double is', '{"a":{"b":[9007199254740993]}}'],
  ['a decimal of 30 digits', '{"a":0.123456789012345678901234567891}'],
  ['a number that is infinite', '{"a":1e400}'],
  ['nested 100,000 deep', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
];

test('every listener refuses what JSON.parse would alter, on every route that takes a body, and names the place', async () => {
  for (const { url } of services()) {
    for (const path of await postPaths(url)) {
      for (const [what, body] of HOSTILE) {
        const answer = await post(`${url}${path}`, body as never);
        const isBatch = path.includes('batch') && answer.status === 200;
        const told = isBatch
          ? (answer.body.results as { status: string }[]).every(({ status }) => status === 'rejected')
          : true;
        expect([path, what, isBatch ? told : [400, 404, 405, 422].includes(answer.status)]).toEqual([path, what, true]);
        expect(answer.text).not.toContain('\u0000');
      }
    }
  }
  expect(acceptedIds().size).toBe(0);
  expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
});

test('errors name their place in the form of the route: RFC 9457, Open Inference Protocol, MLflow, SageMaker', async () => {
  const { serving, features, gateway } = listeners;
  const bad = '{"a":{"b":[9007199254740993]}}';
  for (const url of [`${serving.url}/predict`, `${features.url}/features/batch`, `${gateway.url}/ingest`]) {
    const { status, headers, body } = await post(url, bad, { ...json, 'x-request-id': 'r-1' });
    expect(status).toBe(400);
    expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(headers.get('x-request-id')).toBe('r-1');
    expect(body).toMatchObject({ status: 400, request_id: 'r-1', instance: new URL(url).pathname });
    expect(body.fields).toEqual([{ field: 'a.b.0', problem: expect.stringContaining('9007199254740993') }]);
    expect((await fetch(new URL(String(body.type), url))).status).toBe(200);
  }
  const foreign = [
    ['/v2/models/tiny/infer', (body: object) => expect(body).toEqual({ error: expect.any(String) })],
    [
      '/invocations',
      (body: object) => expect(body).toEqual({ error_code: expect.any(String), message: expect.any(String) }),
    ],
    ['/endpoints/tiny/invocations', (body: object) => expect(body).toEqual({ Message: expect.any(String) })],
  ] as const;
  for (const [path, holds] of foreign) {
    for (const [body, type, status] of [
      [bad, 'application/json', 400],
      [`{"a":"${'x'.repeat(5_000_000)}"}`, 'application/json', 413],
      ['<a/>', 'application/xml', 415],
      ['{}', 'application/json; charset=latin1', 415],
    ] as const) {
      const answer = await post(`${serving.url}${path}`, body, { 'content-type': type });
      expect([path, answer.status]).toEqual([path, status]);
      holds(answer.body);
    }
    const wrongMethod = await fetch(`${serving.url}${path}`, { method: 'DELETE' });
    expect([wrongMethod.status, wrongMethod.headers.get('allow')]).toEqual([405, 'OPTIONS, POST']);
    holds((await wrongMethod.json()) as object);
  }
  expect(await (await fetch(`${serving.url}/v2/nothing`)).json()).toEqual({ error: expect.any(String) });
});

test('methods: HEAD where GET is, OPTIONS and 405 with Allow, 404 for unknown paths', async () => {
  for (const { url } of services()) {
    const ask = async (method: string, path: string) => {
      const answer = await fetch(`${url}${path}`, { method });
      await answer.arrayBuffer();
      return [answer.status, answer.headers.get('allow')];
    };
    expect(await ask('HEAD', '/health/live')).toEqual([200, null]);
    expect(await ask('OPTIONS', '/health/live')).toEqual([204, 'GET, HEAD, OPTIONS']);
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      expect(await ask(method, '/health/live')).toEqual([405, 'GET, HEAD, OPTIONS']);
      expect(await ask(method, '/no/such/path')).toEqual([404, null]);
    }
    expect(await ask('OPTIONS', '/no/such/path')).toEqual([404, null]);
  }
});

test('request ids: sensible ones come back, others are replaced', async () => {
  for (const { url } of services()) {
    const idOf = async (given?: string) =>
      (
        await fetch(`${url}/health/live`, { headers: given === undefined ? {} : { 'x-request-id': given } })
      ).headers.get('x-request-id');
    expect(await idOf('abc-1:2.3_4')).toBe('abc-1:2.3_4');
    for (const given of [undefined, 'x'.repeat(129), 'a b', 'é', 'jndi:{x}', ''])
      expect(await idOf(given)).toMatch(/^[0-9a-f-]{36}$/);
  }
});

test('charsets and byte order marks', async () => {
  const { gateway, serving } = listeners;
  const send = async (id: string, type: string, mark = '') =>
    (await post(`${gateway.url}/ingest`, `${mark}${JSON.stringify(goodEvent(id))}`, { 'content-type': type })).status;
  expect(await send('c1', 'application/json; charset=UTF-8')).toBe(202);
  expect(await send('c2', 'application/json;charset="utf-8"', '\ufeff')).toBe(202);
  for (const charset of ['latin1', 'iso-8859-1', 'utf-16', 'utf-7', '"utf-16le"', 'x']) {
    expect([charset, await send('c3', `application/json; charset=${charset}`)]).toEqual([charset, 415]);
    expect(
      (await post(`${serving.url}/predict`, '{}', { 'content-type': `application/json; charset=${charset}` })).status,
    ).toBe(415);
  }
  for (const type of ['application/xml', 'image/png', 'application/cloudevents+avro'])
    expect(await send('c4', type)).toBe(415);
});

test('numbers reach the broker as they were written', async () => {
  const texts = ['5.0', '1e2', '0.1000', '5', '12.3400', '9999.99e0'];
  for (const [index, amount] of texts.entries()) {
    const event = JSON.stringify(goodEvent(`n${index}`)).replace('"amount":5', `"amount":${amount}`);
    expect((await post(`${listeners.gateway.url}/ingest/batch`, `[ ${event} ]`)).body).toMatchObject({ accepted: 1 });
    const record = (listeners.sent.get('raw-events') ?? []).find(({ value }) => String(value).includes(`"n${index}"`));
    expect(String(record?.value)).toContain(`"amount":${amount},`);
  }
});

test('an id is its user’s: the same event again is a duplicate, another one a conflict, for that item alone', async () => {
  const at = new Date().toISOString();
  const { url } = listeners.gateway;
  const one = goodEvent('id-1', { timestamp: at });
  expect((await post(`${url}/ingest`, JSON.stringify(one))).status).toBe(202);
  const turned = JSON.stringify(Object.fromEntries(Object.entries(one).reverse()), null, 2);
  expect((await post(`${url}/ingest`, turned)).body).toMatchObject({ status: 'duplicate' });
  expect((await post(`${url}/ingest`, JSON.stringify({ ...one, user_id: 'u2' }))).status).toBe(202);
  const conflict = await post(`${url}/ingest`, JSON.stringify({ ...one, amount: 6 }));
  expect(conflict).toMatchObject({ status: 409, body: { code: 'GATEWAY_EVENT_ID_CONFLICT' } });
  const { body } = await post(
    `${url}/ingest/batch`,
    [one, { ...one, amount: 7 }, goodEvent('id-2')].map((each) => JSON.stringify(each)).join('\n'),
  );
  expect(body).toMatchObject({
    ...{ accepted: 1, duplicates: 1, rejected: 1, failed: 0 },
    results: [{ status: 'duplicate' }, { status: 'rejected', http_status: 409 }, { status: 'accepted' }],
  });
  expect(letters().filter(({ reason }) => reason.startsWith('event_id_conflict'))).toHaveLength(2);
});

test('a record that is too large, in bytes, or that the broker refuses, is refused alone: 40 good events beside each go through', async () => {
  const { url } = listeners.gateway;
  const user = (bytes: number): string => 'é'.repeat(bytes / 2);
  const bad = [
    // Few enough characters, too many bytes.
    goodEvent('large', { device_type: user(1_100_000) }),
    ...['together', 'alone'].flatMap((mark) => [
      goodEvent(`refused-${mark}`, { device_type: `${POISON}-${mark}` }),
      goodEvent(`over-${mark}`, { device_type: `${TOO_LARGE}-${mark}` }),
    ]),
  ];
  for (const [round, event] of bad.entries()) {
    const good = Array.from({ length: 40 }, (_, index) => `good-${round}-${index}`);
    const answers = await Promise.all(
      [...good.slice(0, 20), '', ...good.slice(20)].map((id) =>
        post(`${url}/ingest`, JSON.stringify(id === '' ? event : goodEvent(id))),
      ),
    );
    expect(answers.filter(({ status }) => status === 202)).toHaveLength(40);
    expect(answers[20]?.status).toBeGreaterThanOrEqual(400);
    expect(answers[20]?.status).toBeLessThan(500);
    for (const id of good) expect(acceptedIds().has(id)).toBe(true);
    const batch = [...good.slice(0, 20), '', ...good.slice(20)].map((id) =>
      JSON.stringify(id === '' ? event : goodEvent(`b-${id}`)),
    );
    const { status, body } = await post(`${url}/ingest/batch`, batch.join('\n'));
    // 200: there is nothing to send again.
    expect({ status, body }).toMatchObject({ status: 200, body: { accepted: 40, rejected: 1, failed: 0 } });
    expect((await post(`${url}/ingest/batch`, batch[20] as string)).body).toMatchObject({ rejected: 1, failed: 0 });
  }
  const exact = await post(`${url}/ingest`, JSON.stringify(goodEvent('t', { device_type: 'x'.repeat(1_000_000) })));
  expect(exact).toMatchObject({ status: 413, body: { code: 'GATEWAY_RECORD_TOO_LARGE' } });
});

test('what is refused and too large for the topic of dead letters is kept whole in a file, also when it is not UTF-8', async () => {
  const { url } = listeners.gateway;
  const large = JSON.stringify(goodEvent('kept', { device_type: 'é'.repeat(700_000) }));
  const notText = Buffer.concat([Buffer.from('{"event_id":"'), Buffer.alloc(1_200_000, 0xff)]);
  const manyEvents = `[${new Array(600_000).fill('1').join(', ')}]`;
  for (const [path, body] of [
    ['/ingest', large],
    ['/ingest/batch', large],
    ['/ingest', notText],
    ['/ingest/batch', manyEvents],
  ] as const) {
    const before = letters().length;
    const answer = await post(`${url}${path}`, body);
    expect(answer.status === 413 || answer.body.rejected === 1).toBe(true);
    const [letter, ...others] = letters().slice(before);
    expect(others).toEqual([]);
    const { payloadAt = '', encoding = 'utf8' } = letter as { payloadAt?: string; encoding?: BufferEncoding };
    const kept = Buffer.from(readFileSync(payloadAt, 'utf8'), encoding);
    expect(kept.equals(Buffer.from(body))).toBe(true);
  }
  const refused = Buffer.concat([Buffer.from('{"event_id":"'), Buffer.alloc(10, 0xff)]);
  const before = letters().length;
  expect((await post(`${url}/ingest`, refused)).status).toBe(400);
  expect(letters().slice(before)).toMatchObject([{ payload: refused.toString('base64'), encoding: 'base64' }]);
});

test('batches: their events, the work of a turn and the answer are bounded', async () => {
  const { url } = listeners.gateway;
  const many = await post(`${url}/ingest/batch`, `[${new Array(100_000).fill('1').join(',')}]`);
  expect(many).toMatchObject({ status: 413, body: { code: 'GATEWAY_TOO_MANY_EVENTS' } });
  const lines = await post(`${url}/ingest/batch`, new Array(100_000).fill('1').join('\n'));
  expect(lines.status).toBe(413);
  // As many as are taken, as bad as can be.
  const fields = JSON.stringify(
    Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`unknown-field-${index}`, 1])),
  );
  let isOver = false;
  let asked = 0;
  let slowestMs = 0;
  const beganMs = performance.now();
  const watch = (async () => {
    while (!isOver) {
      const askedMs = performance.now();
      expect((await fetch(`${url}/health/live`)).status).toBe(200);
      slowestMs = Math.max(slowestMs, performance.now() - askedMs);
      asked += 1;
      await sleep(5);
    }
  })();
  const event = fields.replace('{', '{"event_type":"transaction",');
  const worst = await post(`${url}/ingest/batch`, `[${new Array(2_000).fill(event).join(',')}]`);
  const tookMs = performance.now() - beganMs;
  isOver = true;
  await watch;
  expect(worst).toMatchObject({ status: 200, body: { rejected: 2_000, is_cut: true } });
  expect(worst.text.length).toBeLessThan(100_000 + 2_000 * 100);
  // Requests beside it wait for a turn of it, not for all of it, on a machine that may be busy with something else.
  expect(asked).toBeGreaterThan(5);
  expect(slowestMs).toBeLessThan(Math.max(1_000, tookMs / 3));
}, 120_000);

test('fuzzed events, whole and in batches: each has its answer, and the good ones among them go through', async () => {
  const { url } = listeners.gateway;
  const seed = Buffer.from(JSON.stringify(goodEvent('fuzz')));
  let round = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      fc.constantFrom('application/json', 'text/plain', 'application/x-ndjson', ''),
      async (mutations, type) => {
        round += 1;
        const bytes = Buffer.from(seed);
        // A line feed would make two lines of it.
        for (const [at, byte] of mutations) bytes[at] = byte === 0x0a ? 0x0b : byte;
        const headers: Record<string, string> = type === '' ? {} : { 'content-type': type };
        const good = [`g-${round}-1`, `g-${round}-2`];
        const [single, batch, beside] = await Promise.all([
          post(`${url}/ingest`, bytes as never, headers),
          post(
            `${url}/ingest/batch`,
            Buffer.concat([Buffer.from(`${JSON.stringify(goodEvent(good[0] as string))}\n`), bytes]) as never,
            headers,
          ),
          post(`${url}/ingest`, JSON.stringify(goodEvent(good[1] as string))),
        ]);
        expect([200, 202, 400, 409]).toContain(single.status);
        expect(batch.status).toBe(200);
        expect((batch.body.results as { status: string }[])[0]?.status).toBe('accepted');
        expect(beside.status).toBe(202);
        for (const id of good) expect(acceptedIds().has(id)).toBe(true);
      },
    ),
    { numRuns: 150 },
  );
}, 120_000);

test('fuzzed request targets and bodies on every listener: answered, never 5xx by fault', async () => {
  const part = fc.oneof(
    fc.constantFrom(
      '..',
      '%2e%2e',
      '%00',
      '%ff',
      '%ZZ',
      '%',
      '%ed%a0%80',
      '%2F',
      '/',
      '//',
      ';',
      '*',
      '__proto__',
      'constructor',
      ':name',
      ' ',
    ),
    fc.constantFrom(
      'ingest',
      'features',
      'predict',
      'v2',
      'models',
      'tiny',
      'docs',
      'health',
      'counters',
      'metrics',
      'infer',
      'e1',
      'stats',
    ),
    fc.string({ maxLength: 8 }),
    fc.constant('a'.repeat(3_000)),
  );
  const target = fc
    .tuple(fc.array(part, { maxLength: 4 }), fc.option(fc.string({ maxLength: 20 })))
    .map(([parts, query]) =>
      // biome-ignore lint/suspicious/noControlCharactersInRegex: a request line has no control characters
      `/${parts.join('/')}${query === null ? '' : `?${query}`}`.replace(/[\u0000-\u0020\u007f-\uffff#]/g, '+'),
    );
  const body = fc.oneof(
    fc.jsonValue().map((value) => JSON.stringify(value)),
    fc.string(),
    fc.constantFrom(...HOSTILE.slice(0, 12).map(([, each]) => String(each))),
  );
  const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS');
  const type = fc.constantFrom(
    'application/json',
    'application/json; charset=x',
    'a/b',
    'garbage',
    ';',
    'application/problem+json',
    'multipart/form-data',
  );
  await fc.assert(
    fc.asyncProperty(target, method, type, body, async (path, verb, contentType, payload) => {
      for (const { url } of services()) {
        const head = `${verb} ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n`;
        const hasBody = verb === 'POST' || verb === 'PUT' || verb === 'PATCH';
        const rest = hasBody
          ? `content-type: ${contentType}\r\ncontent-length: ${Buffer.byteLength(payload)}\r\n\r\n${payload}`
          : '\r\n';
        const answer = await raw(portOf(url), head + rest, 5_000);
        const status = Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
        expect([verb, path, status >= 200 && (status < 500 || status === 503)]).toEqual([verb, path, true]);
      }
    }),
    { numRuns: 120 },
  );
}, 240_000);

test('broken HTTP is answered as a problem and closed; the listeners go on', async () => {
  const broken = [
    'nonsense\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    'GET /health/live HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n',
    'POST /ingest HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    'POST /ingest HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
    `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`,
    'GET /\u0000 HTTP/1.1\r\nhost: x\r\n\r\n',
  ];
  for (const { url } of services()) {
    for (const bytes of broken) {
      const answer = await raw(portOf(url), bytes, 3_000);
      expect([bytes.slice(0, 40), answer]).toEqual([
        bytes.slice(0, 40),
        expect.stringMatching(/^HTTP\/1\.1 4\d\d [\s\S]*application\/problem\+json/),
      ]);
    }
    expect((await fetch(`${url}/health/live`)).status).toBe(200);
  }
}, 120_000);

test('NUL in a path or query is refused on every listener', async () => {
  for (const { url } of services()) {
    for (const [path, field] of [
      ['/features/a%00b', 'path'],
      ['/models/x%00', 'path'],
      ['/stats?view=%00', 'query'],
      ['/health?x=a%00', 'query'],
    ] as const) {
      const answer = await fetch(`${url}${path}`);
      expect([path, answer.status]).toEqual([path, 400]);
      expect(await answer.json()).toMatchObject({ fields: [{ field }] });
    }
  }
});

test('lines of rows: each is answered, also what is not UTF-8, lossy or too long', async () => {
  const row = '{"amount":10,"count":3,"weekend":true,"category":"b"}';
  const lines = [
    row,
    '{"amount":9007199254740993}',
    Buffer.from([0x7b, 0xff]),
    '{"amount":1,"amount":2}',
    'x'.repeat(5_000_000),
    row,
  ];
  const body = Buffer.concat(lines.flatMap((line) => [Buffer.from(line as string), Buffer.from('\n')]));
  const { status, text } = await post(`${listeners.serving.url}/predict/batch`, body as never, {
    'content-type': 'application/x-ndjson',
  });
  expect(status).toBe(200);
  const answers = text.trim().split('\n').map(parsed);
  expect(answers.map((each) => each.line ?? 'scored')).toEqual(['scored', 2, 3, 4, 5, 'scored']);
});

const LONG = 'x'.repeat(9_000);
const infer = (id: unknown) => ({
  id,
  inputs: [
    { name: 'amount', datatype: 'FP64', shape: [1], data: [1] },
    { name: 'count', datatype: 'INT64', shape: [1], data: [1] },
    { name: 'weekend', datatype: 'BOOL', shape: [1], data: [true] },
    { name: 'category', datatype: 'BYTES', shape: [1], data: ['b'] },
  ],
});

const WHOLE_ROW = { features: { amount: 10, count: 3, weekend: true, category: 'b' } };

// Each is caught where it enters, by its field: none reaches a store, and no answer tells what is inside.
test.each([
  ['an id too long for an index', '/v2/models/tiny/infer', infer(LONG), json, 400, /id must be a string of 1 to 128/],
  ['an empty id', '/v2/models/tiny/infer', infer(''), json, 400, /id must be a string of 1 to 128/],
  [
    'lines for one row',
    '/predict',
    { amount: 1 },
    { 'content-type': 'application/x-ndjson' },
    415,
    /application\/json/,
  ],
  ['lines to explain', '/explain', { amount: 1 }, { 'content-type': 'application/x-ndjson' }, 415, /application\/json/],
  ['a coding called as a prototype is', '/predict', {}, { ...json, 'content-encoding': '__proto__' }, 415, /__proto__/],
  [
    'a time to wait in hexadecimal',
    '/predict',
    WHOLE_ROW,
    { ...json, 'x-request-timeout-ms': '0x10' },
    400,
    /x-request-timeout-ms/,
  ],
  [
    'a time to wait without end',
    '/predict',
    WHOLE_ROW,
    { ...json, 'x-request-timeout-ms': 'Infinity' },
    400,
    /x-request-timeout-ms/,
  ],
])('serving refuses %s by name', async (_, path, body, headers, status, names) => {
  const answer = await post(`${listeners.serving.url}${path}`, JSON.stringify(body), headers);
  expect([answer.status, answer.text]).toEqual([status, expect.stringMatching(names)]);
  expect(answer.text).not.toMatch(/_readableState|\[object|native code|SELECT|INSERT|PGlite/);
});

test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])('there is no lineage of %s', async (name) => {
  expect((await fetch(`${listeners.features.url}/lineage/${name}`)).status).toBe(404);
});

test.each(['from=0000-01-01T00:00:00Z', 'from=0000-01-01T00:00:00%2B23:59', 'to=9999-12-31T23:59:59-23:59'])(
  'statistics take a bound outside all time: %s',
  async (bounds) => {
    expect((await fetch(`${listeners.features.url}/stats?${bounds}`)).status).toBe(200);
  },
);

test('nothing of all this was left unhandled', () => {
  expect(unhandled).toEqual([]);
});
