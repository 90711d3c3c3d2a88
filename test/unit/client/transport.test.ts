import { expect, test } from '@jest/globals';
import { RequestFailedError } from '#client/errors';
import { Transport } from '#client/transport';

/** Answers each request with the next of these, and counts. */
function answering(...answers: readonly (Response | Error)[]) {
  const ids: (string | null)[] = [];
  const send = async (_: unknown, init?: RequestInit): Promise<Response> => {
    ids.push(new Headers(init?.headers).get('x-request-id'));
    const answer = answers[ids.length - 1] as Response | Error;
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { ids, transport: new Transport('http://platform', { fetch: send as typeof fetch, retries: 2 }) };
}
const failed = (status: number, headers = {}) => new Response('{"code":"C","detail":"d"}', { status, headers });

test('what may succeed later is sent again, with the id of its request', async () => {
  const { ids, transport } = answering(new TypeError('reset'), failed(503, { 'retry-after': '0' }), Response.json(1));
  expect(await transport.post('/predict', {})).toBe(1);
  expect([ids.length, new Set(ids).size, ids[0]]).toEqual([3, 1, expect.stringMatching(/^[0-9a-f]{32}$/)]);
});

test('no more than so often; and not where the caller is at fault, or the platform names a long time', async () => {
  const thrice = answering(failed(503), failed(503), failed(503));
  await expect(thrice.transport.get('/')).rejects.toThrow(RequestFailedError);
  expect(thrice.ids).toHaveLength(3);
  for (const answer of [failed(400), failed(409), failed(500), failed(429, { 'retry-after': '60' })]) {
    const once = answering(answer);
    await expect(once.transport.get('/')).rejects.toThrow(RequestFailedError);
    expect(once.ids).toHaveLength(1);
  }
});
