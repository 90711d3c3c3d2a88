import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { LogRecord } from '#connectors/connector';
import { DiskLog } from '#connectors/disk_log/disk_log';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { MIN_EVENT_TIME, systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { decodePrediction } from '#pipelines/transforms/drift/prediction_window';
import { sendPredictions } from '#serving/prediction_store/prediction_records';
import type { NewPrediction } from '#serving/prediction_store/prediction_store';

// Predictions in their topic, in each form, as the monitor, other consumers and an erasure read them.

const TOPIC = 'predictions';
let directory: string;
let broker: DiskLog;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'prediction-records-'));
  broker = new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory, fsync: 'never', segmentBytes: 1e8 },
  );
  await broker.start();
  await broker.ensureTopics([{ name: TOPIC, partitions: 1 }]);
});
afterEach(async () => {
  await broker.stop();
  rmSync(directory, { recursive: true, force: true });
});

const row: NewPrediction = {
  ...{ predictionId: 'p1', requestId: 'r1', rowIndex: 2, modelName: 'fraud', modelVersion: 3, variant: 'canary' },
  entityKey: 'account:a1' as EntityKey,
  features: '{"amount":1.50}',
  prediction: 'fraud',
  probabilities: { legitimate: 0.25, fraud: 0.75 },
  predictedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
};

async function records(): Promise<readonly LogRecord[]> {
  const reader = await broker.openPartition(TOPIC, '0', { startAt: 'earliest' });
  const { signal } = new AbortController();
  const found = await reader.poll({ maxRecords: 10, maxWaitMs: 100, signal });
  await reader.close();
  return found;
}

test('CloudEvents are in binary mode: attributes are headers, and the value is what it is without them', async () => {
  await sendPredictions(broker, { topic: TOPIC, format: 'json' }, [row]);
  await sendPredictions(broker, { topic: TOPIC, format: 'cloudevents' }, [row]);
  const [plain, event] = (await records()) as [LogRecord, LogRecord];
  expect(event.value.equals(plain.value)).toBe(true);
  expect([plain.key, event.key]).toEqual(['account:a1', 'account:a1']);
  expect(plain.headers).toEqual({});
  expect(event.headers).toEqual({
    'content-type': 'application/json',
    ce_specversion: '1.0',
    ce_id: 'p1#2',
    ce_source: '/models/fraud/versions/3',
    ce_type: 'headwater.prediction',
    ce_time: '2026-01-02T03:04:05.678Z',
    ce_inferenceservicename: 'fraud',
    ce_component: 'predictor',
    ce_endpoint: 'canary',
    ce_subject: 'account:a1',
  });
});

test('where records have no headers they are in structured mode', async () => {
  const bare = { producer: broker.producer, hasHeaders: false };
  await sendPredictions(bare, { topic: TOPIC, format: 'cloudevents' }, [row]);
  const [{ value, headers }] = (await records()) as [LogRecord];
  expect(headers).toEqual({});
  expect(JSON.parse(value.toString())).toMatchObject({
    ...{ specversion: '1.0', id: 'p1#2', type: 'headwater.prediction', datacontenttype: 'application/json' },
    data: { predictionId: 'p1', features: { amount: 1.5 }, entityKey: 'account:a1' },
  });
});

test('the monitor reads every form alike, and an erasure finds every form', async () => {
  await sendPredictions(broker, { topic: TOPIC, format: 'json' }, [row]);
  await sendPredictions(broker, { topic: TOPIC, format: 'cloudevents' }, [row]);
  await sendPredictions({ producer: broker.producer, hasHeaders: false }, { topic: TOPIC, format: 'cloudevents' }, [
    row,
  ]);
  const decoded = (await records()).map((record) => decodePrediction(record, MIN_EVENT_TIME));
  expect(decoded).toHaveLength(3);
  for (const one of decoded) {
    expect(one).toEqual(decoded[0]);
    expect(one).toMatchObject({
      eventTimeMs: row.predictedAtMs,
      element: { model: 'fraud', version: 3, features: { amount: 1.5 }, probabilities: row.probabilities },
    });
  }
  expect(await broker.eraseRecords(TOPIC, { key: 'account:a1', joinKeys: { account_id: 'a1' } })).toBe(3);
});

test.each(['null', '[1]', '"text"'])('a CloudEvent whose data is %s is refused by name', async (data) => {
  await broker.producer.send(TOPIC, [{ value: `{"specversion":"1.0","data":${data}}` }]);
  const [record] = (await records()) as [LogRecord];
  expect(decodePrediction(record, MIN_EVENT_TIME).element).toMatchObject({
    reason: 'the CloudEvent has no data that is a JSON object',
  });
});
