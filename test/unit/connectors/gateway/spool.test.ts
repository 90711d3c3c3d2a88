import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { RecordRefusedError, RecordTooLargeError } from '#connectors/errors';
import { transactions } from '#examples/fraud/features/transactions';
import { goodEvent } from '../../../support/definitions/good_event.ts';
import { until } from '../../../support/turns.ts';
import { createTestGateway, type TestGateway } from './test_gateway.ts';

let directory: string;
let open: TestGateway[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'spool-'));
  open = [];
});
afterEach(async () => {
  for (const { service } of open) await service.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function start(spool: object = {}): Promise<TestGateway> {
  const gateway = await createTestGateway({ spool: { directory, ...spool } });
  await gateway.service.start();
  open.push(gateway);
  return gateway;
}

const send = async (gateway: TestGateway, id: string): Promise<number> =>
  (await gateway.post('/ingest', JSON.stringify(goodEvent(id)))).status;

const idsOf = (gateway: TestGateway): unknown[] => gateway.valuesOf('raw-events').map(({ event_id: id }) => id);

test('while the broker is away events are accepted, and sent in order when it is back', async () => {
  const gateway = await start();
  expect(await send(gateway, 'before')).toBe(202);
  gateway.broker.mode = 'down';
  const ids = Array.from({ length: 20 }, (_, index) => `away-${index}`);
  for (const id of ids) expect(await send(gateway, id)).toBe(202);
  expect((await gateway.post('/ingest', JSON.stringify(goodEvent('bad', { amount: -1 })))).status).toBe(400);
  expect(idsOf(gateway)).toEqual(['before']);
  const health = await gateway.app.inject('/health');
  expect([health.statusCode, health.json()]).toMatchObject([
    503,
    {
      status: 'degraded',
      dependencies: {
        spool: { status: 'degraded', reason: expect.stringMatching(/wait on disk.*(not available|failed)/) },
      },
    },
  ]);
  // It still takes events in: nobody should send them elsewhere.
  expect((await gateway.app.inject('/health/ready')).statusCode).toBe(200);
  gateway.broker.mode = 'up';
  await until(() => gateway.sent.length === 22);
  expect(idsOf(gateway)).toEqual(['before', ...ids]);
  expect(gateway.valuesOf('dead-letter-queue')).toHaveLength(1);
  expect(await send(gateway, 'after')).toBe(202);
  await until(() => idsOf(gateway).at(-1) === 'after');
  expect((await gateway.app.inject('/health')).statusCode).toBe(200);
});

test('a broker that does not answer counts as away after a while', async () => {
  const gateway = await start({ sendTimeoutMs: 50 });
  gateway.broker.mode = 'hanging';
  expect(await send(gateway, 'e1')).toBe(202);
  gateway.broker.mode = 'up';
  await until(() => idsOf(gateway).includes('e1'));
});

test('what waits on disk is sent by the next process', async () => {
  const first = await start();
  first.broker.mode = 'down';
  for (const id of ['a', 'b', 'c']) expect(await send(first, id)).toBe(202);
  await first.service.stop();
  const second = await start();
  await until(() => second.sent.length === 3);
  expect(idsOf(second)).toEqual(['a', 'b', 'c']);
  await second.service.stop();
  const third = await start();
  expect(await send(third, 'd')).toBe(202);
  await until(() => third.sent.length > 0);
  expect(idsOf(third)).toEqual(['d']);
});

test('a full spool answers 503 with Retry-After, and loses nothing that it has accepted', async () => {
  const gateway = await start({ maxBytes: 5_000 });
  gateway.broker.mode = 'down';
  const accepted: string[] = [];
  let refused = 0;
  for (let index = 0; index < 40; index += 1) {
    const { status, headers, body } = await gateway.post('/ingest', JSON.stringify(goodEvent(`e${index}`)));
    if (status === 202) accepted.push(`e${index}`);
    else {
      refused += 1;
      expect(status).toBe(503);
      expect(headers['retry-after']).toBe('1');
      expect(body).toMatchObject({ error: { code: 'GATEWAY_SPOOL_FULL' } });
    }
  }
  expect(accepted.length).toBeGreaterThan(3);
  expect(refused).toBeGreaterThan(3);
  gateway.broker.mode = 'up';
  await until(() => gateway.sent.length === accepted.length);
  expect(idsOf(gateway)).toEqual(accepted);
  // A refused event is no repetition when it comes again.
  expect(await send(gateway, 'e39')).toBe(202);
});

test('its metrics say what waits and that the circuit is open', async () => {
  const gateway = await start();
  gateway.broker.mode = 'down';
  for (const id of ['a', 'b', 'c', 'd']) await send(gateway, id);
  await until(async () => (await gateway.metrics.metrics()).includes('circuit_open{target="broker"} 1'));
  const text = await gateway.metrics.metrics();
  expect(text).toMatch(/spool_records 4/);
  expect(text).toMatch(/spooled_records_total 4/);
  expect(text).toMatch(/circuit_open\{target="broker"\} 1/);
});

test('what the broker refuses of the spool becomes a dead letter, alone: all behind it is sent', async () => {
  const refuse = (topic: string, { value }: { readonly value: Buffer | string | null }) => {
    const text = String(value);
    if (topic !== 'raw-events' || !text.includes('"country":"FR"')) return undefined;
    return text.includes('"currency":"USD"')
      ? new RecordTooLargeError('Kafka', topic, undefined, { sizeBytes: 2_000, maxBytes: 1_000 })
      : new RecordRefusedError('Kafka', topic, undefined, 'its schema is not known');
  };
  const gateway = await createTestGateway({ spool: { directory } }, [transactions], refuse);
  await gateway.service.start();
  open.push(gateway);
  gateway.broker.mode = 'down';
  const changes = (index: number) => {
    if (index % 7 === 3) return { country: 'FR' };
    return index % 7 === 5 ? { country: 'FR', currency: 'USD' } : {};
  };
  for (let index = 0; index < 40; index += 1) {
    const { status } = await gateway.post('/ingest', JSON.stringify(goodEvent(`e${index}`, changes(index))));
    expect(status).toBe(202);
  }
  gateway.broker.mode = 'up';
  await until(() => gateway.sent.length === 40);
  const isBad = (index: number): boolean => 'country' in changes(index);
  const ids = Array.from({ length: 40 }, (_, index) => `e${index}`);
  expect(idsOf(gateway)).toEqual(ids.filter((_, index) => !isBad(index)));
  const letters = gateway.valuesOf('dead-letter-queue') as { payload: string; origin: object; stage: string }[];
  expect(letters.map(({ payload }) => JSON.parse(payload).event_id)).toEqual(ids.filter((_, index) => isBad(index)));
  expect(letters[0]).toMatchObject({ stage: 'gateway.spool', origin: { topic: 'raw-events', partition: 'spool' } });
  expect(await send(gateway, 'after')).toBe(202);
  expect(await gateway.metrics.metrics()).toMatch(/spool_refused_total 11/);
});
