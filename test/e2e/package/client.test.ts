import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  AnswerTimeoutError,
  createClient,
  type HeadwaterClient,
  NoAnswerError,
  RequestFailedError,
  UnreadableAnswerError,
} from 'headwater/client';
import { fraudView } from '#examples/fraud/features/fraud';
import { PlatformProcess } from '../../support/platforms/platform_process.ts';

const directory = mkdtempSync(join(tmpdir(), 'client-'));
const purchase = (id: string, account: string, amount: unknown) => ({
  ...{ event_id: id, user_id: 'u1', event_type: 'transaction', timestamp: new Date().toISOString() },
  ...{ account_id: account, amount, currency: 'EUR', merchant_id: 'm7' },
  ...{ merchant_category: 'electronics', country: 'DE' },
});

describe('against the platform', () => {
  let platform: PlatformProcess;
  let client: HeadwaterClient;
  beforeAll(async () => {
    platform = await PlatformProcess.start(directory);
    const { gateway, features, serving } = platform.urls;
    client = createClient({ gatewayUrl: `${gateway}/`, featuresUrl: features, servingUrl: serving });
  }, 240_000);
  afterAll(async () => {
    await platform.terminate();
    rmSync(directory, { recursive: true, force: true });
  }, 60_000);

  test('an event becomes features of the types that its view declares, and a prediction', async () => {
    expect(await client.ingest.send(purchase('e1', 'a 1/ü', 120.5))).toEqual({ event_id: 'e1', status: 'accepted' });
    const batch = await client.ingest.sendBatch([purchase('e2', 'a2', 7), purchase('e3', 'a2', 'seven')]);
    expect(batch).toMatchObject({ accepted: 1, duplicates: 0, rejected: 1, failed: 0 });
    expect(batch.results[1]).toMatchObject({ index: 1, status: 'rejected', fields: [{ field: 'amount' }] });

    const view = client.features.of(fraudView);
    let row = await view.get('a 1/ü');
    for (let tries = 0; tries < 300 && row === undefined; tries += 1) {
      await sleep(50);
      row = await view.get('a 1/ü');
    }
    const count: number | undefined = row?.count_1h;
    const amount: number | null | undefined = row?.amount;
    expect([count, amount]).toEqual([1, 120.5]);
    expect(await view.get('unknown')).toBeUndefined();
    const many = await view.getMany(['a 1/ü', 'unknown']);
    expect(many.map((each) => each?.count_1h)).toEqual([1, undefined]);
    const stored = await view.getStored('a 1/ü');
    expect(stored?.count_1h).toEqual({ value: 1, computed_at: expect.stringMatching(/^\d{4}-.*Z$/) });

    const prediction = await client.predictions.predict({
      ...{ model: 'fraud_detector', entity: 'a 1/ü', returnProbabilities: true },
    });
    expect(['legitimate', 'fraud']).toContain(prediction.prediction);
    expect(prediction).toMatchObject({ modelName: 'fraud_detector', modelVersion: 1 });
    expect(Object.values(prediction.probabilities ?? {}).reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 5);
    const both = await client.predictions.predictBatch({ model: 'fraud_detector', entities: ['a 1/ü', 'a 1/ü'] });
    expect(both.predictions).toEqual([prediction.prediction, prediction.prediction]);
  }, 60_000);

  test('what is refused names code, fields and request', async () => {
    const refused = await client.ingest.send(purchase('e9', 'a9', 'much')).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(RequestFailedError);
    expect(refused).toMatchObject({
      ...{ code: 'GATEWAY_INVALID_EVENT', status: 400, fault: 'caller', retryable: false },
      fields: [{ field: 'amount' }],
      requestId: expect.stringMatching(/./),
    });
    const unknown = await client.predictions.predict({ model: 'none', features: {} }).catch((error: unknown) => error);
    expect(unknown).toMatchObject({ status: 404, fault: 'caller' });
    const noEntity = await client.predictions
      .predict({ model: 'fraud_detector', entity: 'unknown' })
      .catch((error: unknown) => error);
    expect(noEntity).toMatchObject({ code: 'SERVING_UNKNOWN_ENTITY', status: 404 });
  });
});

describe('against other listeners', () => {
  const servers: Server[] = [];
  const listening = async (answer: RequestListener): Promise<string> => {
    const server = createServer(answer);
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  afterAll(() => {
    for (const server of servers) server.closeAllConnections();
    for (const server of servers) server.close();
  });

  test.each([
    [502, '<html>bad gateway</html>', { code: 'HTTP_502', fault: 'dependency', retryable: true }],
    [503, '{"code":"SERVING_OVERLOADED","detail":"later"}', { code: 'SERVING_OVERLOADED', retryable: true }],
    [401, '{"code":"HTTP_UNAUTHENTICATED","detail":"no key"}', { fault: 'caller', retryable: false }],
  ])('an answer %s is a failed request', async (status, body, want) => {
    const url = await listening((_, response) => response.writeHead(status).end(body));
    const error = await createClient({ gatewayUrl: url })
      .ingest.send({})
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RequestFailedError);
    expect(error).toMatchObject({ status, ...want });
  });

  test('no JSON, no answer in time, no listener, and a cancelled request are apart', async () => {
    const text = await listening((_, response) => response.end('hello'));
    await expect(createClient({ gatewayUrl: text }).ingest.send({})).rejects.toThrow(UnreadableAnswerError);
    const silent = await listening(() => {});
    const slow = createClient({ gatewayUrl: silent, timeoutMs: 100 }).ingest;
    await expect(slow.send({})).rejects.toThrow(AnswerTimeoutError);
    const patient = createClient({ gatewayUrl: silent }).ingest;
    const reason = new Error('no longer needed');
    await expect(patient.send({}, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await expect(createClient({ gatewayUrl: 'http://127.0.0.1:1' }).ingest.send({})).rejects.toThrow(NoAnswerError);
  });

  test('a token is sent with each request, and a function is called for each', async () => {
    const seen: (string | undefined)[] = [];
    const url = await listening((request, response) => {
      seen.push(request.headers.authorization);
      response.end('{"event_id":"e","status":"accepted"}');
    });
    await createClient({ gatewayUrl: url, token: 'one' }).ingest.send({});
    const turning = createClient({ gatewayUrl: url, token: async () => `turn-${seen.length}` });
    await turning.ingest.send({});
    await turning.ingest.send({});
    await createClient({ gatewayUrl: url }).ingest.send({});
    expect(seen).toEqual(['Bearer one', 'Bearer turn-1', 'Bearer turn-2', undefined]);
  });
});
