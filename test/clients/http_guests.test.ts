import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { CloudEvent, HTTP } from 'cloudevents';
import { assetPath } from '#kernel/project_root';
import { virtualEnvironment } from '#registry/trainers/python_environment';
import { goodEvent } from '../support/definitions/good_event.ts';
import { type Listeners, startListeners } from '../support/hostile/listeners.ts';

// Clients as others write them: curl, node's fetch, requests, httpx, and the CloudEvents SDKs for JavaScript and Python.

const run = promisify(execFile);
let listeners: Listeners;
let url = '';
beforeAll(async () => {
  listeners = await startListeners();
  url = listeners.gateway.url;
}, 240_000);
afterAll(async () => listeners.stop());

const recordOf = (id: string) => {
  const record = (listeners.sent.get('raw-events') ?? []).find(
    ({ value }) => JSON.parse(String(value)).event_id === id,
  );
  return { fields: JSON.parse(String(record?.value)) as Record<string, unknown>, headers: record?.headers ?? {} };
};
const { event_id: _, event_type: __, timestamp: ___, ...data } = goodEvent('x');
const cloudEvent = (id: string, more: object = {}) =>
  new CloudEvent({ id, type: 'transaction', source: 'urn:test:js', data, ...more });

const send = async (path: string, { headers, body }: { headers: unknown; body: unknown }) => {
  const answer = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: headers as Record<string, string>,
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
};

test.each(['binary', 'structured'] as const)(
  'the CloudEvents SDK for JavaScript, %s: the attributes become fields',
  async (mode) => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const sent = cloudEvent(`js-${mode}`, { traceparent, subject: 'u7', data: { ...data, user_id: undefined } });
    expect(await send('/ingest', HTTP[mode](sent))).toEqual({
      status: 202,
      body: { event_id: `js-${mode}`, status: 'accepted' },
    });
    const { fields, headers } = recordOf(`js-${mode}`);
    expect(fields).toMatchObject({ event_type: 'transaction', timestamp: sent.time, amount: 5, user_id: 'u7' });
    expect(headers).toMatchObject({
      ce_id: `js-${mode}`,
      ce_source: 'urn:test:js',
      ce_type: 'transaction',
      traceparent,
    });
  },
);

test('a batch of CloudEvents has a result for each, at both paths', async () => {
  for (const path of ['/ingest', '/ingest/batch']) {
    const name = path.length;
    const events = [
      cloudEvent(`one-${name}`).toJSON(),
      { ...cloudEvent(`two-${name}`).toJSON(), specversion: '0.3' },
      {
        ...cloudEvent(`three-${name}`).toJSON(),
        data: undefined,
        data_base64: Buffer.from(JSON.stringify(data)).toString('base64'),
      },
    ];
    expect(
      await send(path, { headers: { 'content-type': 'application/cloudevents-batch+json' }, body: events }),
    ).toMatchObject({
      status: 200,
      body: {
        ...{ accepted: 2, rejected: 1, failed: 0 },
        results: [
          { status: 'accepted' },
          { status: 'rejected', fields: [{ field: 'specversion' }] },
          { status: 'accepted' },
        ],
      },
    });
    expect(recordOf(`three-${name}`).fields).toMatchObject({ amount: 5 });
  }
});

test.each([
  ['no source', { source: '' }, 'source'],
  ['a time that is none', { time: 'yesterday' }, 'time'],
  ['data that are no object', { data: [1] }, 'data'],
  ['data twice', { data_base64: 'e30=' }, 'data_base64'],
  ['data in another form', { datacontenttype: 'application/xml' }, 'datacontenttype'],
  ['an attribute with capitals', { fooBar: 'x' }, 'fooBar'],
  ['an attribute that is a list', { foo: [1] }, 'foo'],
  ['NUL in an attribute', { subject: 'a\u0000b' }, 'subject'],
])('%s: refused, and the attribute is named', async (_name, change, field) => {
  const event = {
    specversion: '1.0',
    id: 'bad',
    source: 'urn:x',
    type: 'transaction',
    time: new Date().toISOString(),
    data,
    ...change,
  };
  const { status, body } = await send('/ingest', {
    headers: { 'content-type': 'application/cloudevents+json' },
    body: event,
  });
  expect({ status, field: (body.fields as { field: string }[])[0]?.field }).toEqual({ status: 400, field });
});

test('curl as it is used most: --data, without a content type of JSON', async () => {
  const body = JSON.stringify(goodEvent('curl-1'));
  const { stdout } = await run('curl', ['-s', '-w', ' %{http_code}', '--data', body, `${url}/ingest`]);
  expect(stdout).toBe('{"event_id":"curl-1","status":"accepted"} 202');
  const refused = await run('curl', [
    '-s',
    '-H',
    'content-type: application/json',
    '--data',
    '{"a":1,"a":2}',
    `${url}/ingest`,
  ]);
  expect(JSON.parse(refused.stdout)).toMatchObject({ status: 400, fields: [{ field: 'a' }] });
});

test('requests, httpx and the CloudEvents SDK for Python', async () => {
  const python = await virtualEnvironment(assetPath('test/support/guests/cloudevents_requirements.txt'), {
    onLine: () => {},
  });
  const { stdout } = await run(python, [assetPath('test/support/guests/http_guests.py'), url]);
  const answers = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { name: string; status: number; body: object });
  expect(answers.map(({ name, status }) => [name, status])).toEqual([
    ...[
      ['requests', 202],
      ['httpx', 202],
      ['httpx lines', 200],
      ['binary', 202],
      ['structured', 202],
      ['refused', 400],
    ],
  ]);
  expect(answers[2]?.body).toMatchObject({ accepted: 3 });
  expect(recordOf('py-binary').fields).toMatchObject({ merchant_id: 'café binary', amount: 12.5 });
  expect(recordOf('py-structured')).toMatchObject({
    fields: { merchant_id: 'café structured' },
    headers: { ce_source: 'urn:py' },
  });
}, 300_000);
