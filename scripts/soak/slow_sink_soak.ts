import { setTimeout as sleep } from 'node:timers/promises';
import { kafkaConfigSchema } from '#connectors/kafka/config';
import { KafkaBroker } from '#connectors/kafka/kafka_broker';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { BrokerSource } from '#pipelines/io/broker_source';
import { writeTo } from '#pipelines/io/sink';
import { createPipeline } from '#pipelines/model/pipeline';
import { read } from '#pipelines/model/transforms';
import { runEmbedded } from '#pipelines/runner/embedded';
import { startServers } from '../services/start_all.ts';
import type { Soak } from './soak.ts';

const SEND = 2_000;
/** Records that wait in Kafka, at least: the sink never catches up. */
const AHEAD = 200_000;
const WRITE_MS = 100;

/** Kafka as fast as it gives, into a sink that takes some 20,000 records a second: what is read must wait, not pile up. */
export async function soakSlowSink(): Promise<Soak> {
  const given = process.env.TEST_KAFKA_BROKERS;
  const servers = given === undefined ? await startServers(['kafka']) : undefined;
  const brokers = (given ?? servers?.env.TEST_KAFKA_BROKERS ?? '').split(',');
  const deps = { log: silentLogger, clock: systemClock, metrics: createMetricsRegistry({ process: false }) };
  const broker = new KafkaBroker(deps, kafkaConfigSchema.parse({ kind: 'kafka', brokers }));
  await broker.start();
  const topic = `soak-${Date.now()}`;
  await broker.ensureTopics([{ name: topic, partitions: 4, retentionMs: 120_000 }]);
  let sent = 0;
  let written = 0;
  let isOver = false;
  const sending = (async () => {
    while (!isOver) {
      if (sent - written > AHEAD) await sleep(20);
      else {
        const from = sent;
        const records = Array.from({ length: SEND }, (_, index) => ({
          key: `k${(from + index) % 997}`,
          value: 'x'.repeat(200),
        }));
        await broker.producer.send(topic, records);
        sent += SEND;
      }
    }
  })();
  const source = new BrokerSource<string>(broker, {
    topics: [topic],
    group: 'soak',
    startAt: 'earliest',
    outOfOrderMs: 0,
    idleAfterMs: 1_000,
    decode: ({ value, timestampMs }) => ({ element: value.toString(), eventTimeMs: timestampMs }),
  });
  const handle = runEmbedded(
    createPipeline((root) => {
      root.apply(read(topic, source, 'Read')).apply(
        writeTo<string>(deps, {
          target: 'slow store',
          async write(batch) {
            await sleep(WRITE_MS);
            written += batch.length;
          },
        }),
      );
    }),
  );
  return {
    events: () => written,
    async stop() {
      isOver = true;
      await sending;
      await handle.cancel();
      await broker.stop();
      await servers?.stop();
    },
  };
}
