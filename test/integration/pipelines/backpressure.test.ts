import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import { KafkaBroker } from '#connectors/kafka/kafka_broker';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { BrokerSource } from '#pipelines/io/broker_source';
import { writeTo } from '#pipelines/io/sink';
import { read } from '#pipelines/model/transforms';
import { runToEnd } from '#pipelines/testing/collect';
import { serviceAddress } from '../service_address.ts';

const RECORDS = 60_000;
const RECORD_BYTES = 10_000;
const PARTITIONS = 4;
/** Decoded and not written yet: 100 MB of the topic's 600. Resident memory would say less: it counts what is not collected yet. */
const MOST_AHEAD = 10_000;
const WRITE_MS = 60;

test('a slow sink slows its source down: little is read ahead of it, and nothing is lost', async () => {
  const config = { kind: 'kafka', brokers: serviceAddress('TEST_KAFKA_BROKERS').split(','), compression: 'lz4' };
  const broker = new KafkaBroker({ log: silentLogger, clock: systemClock }, kafkaConfigSchema.parse(config));
  await broker.start();
  const topic = `slow-${randomUUID()}`;
  await broker.ensureTopics([{ name: topic, partitions: PARTITIONS }]);
  const padding = 'x'.repeat(RECORD_BYTES);
  for (let at = 0; at < RECORDS; at += 1_000) {
    const records = Array.from({ length: 1_000 }, (_, index) => ({
      key: `k${index}`,
      value: `${at + index} ${padding}`,
    }));
    await broker.producer.send(topic, records);
  }
  let decoded = 0;
  let writtenRecords = 0;
  let mostAhead = 0;
  const source = new BrokerSource<string>(broker, {
    ...{ topics: [topic], group: topic, startAt: 'earliest', outOfOrderMs: 0, idleAfterMs: 1_000, bounded: true },
    decode: ({ value, timestampMs }) => {
      decoded += 1;
      mostAhead = Math.max(mostAhead, decoded - writtenRecords);
      return { element: value.toString(), eventTimeMs: timestampMs };
    },
  });
  const written = new Uint8Array(RECORDS);
  const metrics = createMetricsRegistry({ process: false });
  await runToEnd((root) => {
    root.apply(read('records', source, 'Records')).apply(
      writeTo<string>(
        { log: silentLogger, metrics },
        {
          target: 'slow sink',
          maxRecords: 200,
          maxInFlight: 1,
          async write(batch) {
            await sleep(WRITE_MS);
            writtenRecords += batch.length;
            for (const value of batch) {
              const number = Number(value.slice(0, value.indexOf(' ')));
              written[number] = (written[number] as number) + 1;
            }
          },
        },
      ),
    );
  });
  await broker.stop();
  expect(written.every((times) => times === 1)).toBe(true);
  process.stdout.write(`ahead of the sink: ${mostAhead} records\n`);
  expect(mostAhead).toBeLessThan(MOST_AHEAD);
}, 180_000);
