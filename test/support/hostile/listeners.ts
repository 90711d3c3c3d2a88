import type { OutgoingRecord, Producer } from '#connectors/connector';
import { DeadLetterWriter, type LargeLetters } from '#connectors/dead_letters/dead_letter_writer';
import { refusalOf } from '#connectors/errors';
import { gatewayConfigSchema } from '#connectors/gateway/config';
import { createGateway } from '#connectors/gateway/gateway';
import { transactions } from '#examples/fraud/features/transactions';
import { createFeatureApi } from '#feature_store/api/feature_api';
import { featureApiConfigSchema } from '#feature_store/config';
import { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { DAY_MS, systemClock } from '#kernel/time';
import type { HttpService } from '#monitoring/http/http_service';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { tinyView } from '../platforms/tiny_model.ts';
import { serveTiny, tinyOnline } from '../platforms/tiny_serving.ts';

/** The three APIs in this process, listening, before a broker that keeps what it is sent. */
export interface Listeners {
  readonly gateway: HttpService;
  readonly features: HttpService;
  readonly serving: HttpService;
  /** By topic. */
  readonly sent: Map<string, OutgoingRecord[]>;
  stop(): Promise<void>;
}

const TOPICS = { rawEvents: 'raw-events', deadLetters: 'dead-letter-queue' };

/** What the broker of {@link startListeners} never takes, and where letters go that are too large. */
export interface BrokerLimits {
  /** Refused with all that is sent with it, as Pub/Sub does. */
  refuse?(record: OutgoingRecord): Error | undefined;
  /** Refused by position, the others are written, as Kafka's and Kinesis' producers do. */
  refuseAlone?(record: OutgoingRecord): Error | undefined;
  readonly large?: LargeLetters;
}

export async function startListeners(
  gatewaySettings: object = {},
  { refuse, refuseAlone, large }: BrokerLimits = {},
): Promise<Listeners> {
  const sent = new Map<string, OutgoingRecord[]>();
  const producer: Producer = {
    async send(topic, records) {
      await new Promise((resolve) => setImmediate(resolve));
      for (const record of records) {
        const refusal = refuse?.(record);
        if (refusal !== undefined) throw refusal;
      }
      const refused = new Map<number, Error>();
      const written = records.filter((record, index) => {
        const refusal = refuseAlone?.(record);
        if (refusal !== undefined) refused.set(index, refusal);
        return refusal === undefined;
      });
      sent.set(topic, [...(sent.get(topic) ?? []), ...written]);
      if (refused.size > 0) throw refusalOf(topic, records.length, refused);
    },
  };
  const base = { clock: systemClock, log: silentLogger };
  const metrics = createMetricsRegistry({ process: false });
  const letters = { topic: TOPICS.deadLetters, large };
  const deadLetters = new DeadLetterWriter({ producer, metrics, log: silentLogger }, letters);
  const gateway = await createGateway(
    {
      ...{ ...base, producer, deadLetters, eventTypes: [transactions], metrics },
      allowedLatenessMs: 7 * DAY_MS,
    },
    gatewayConfigSchema.parse({ port: 0, ...gatewaySettings }),
    TOPICS,
  );
  const features = await createFeatureApi(
    {
      ...base,
      store: { ...tinyOnline, increment: async () => 1 },
      features: new FeatureReader({ online: tinyOnline, clock: systemClock }, { views: [tinyView], services: [] }),
      statistics: { list: async () => [] },
      embeddings: { search: async () => [] },
      history: { pointInTimeJoin: async (moments) => moments.map(() => undefined) },
      views: [tinyView],
      metrics: createMetricsRegistry({ process: false }),
    },
    featureApiConfigSchema.parse({ port: 0 }),
  );
  const tiny = await serveTiny();
  const services = [gateway, features, tiny.service];
  for (const service of services) await service.start();
  return {
    ...{ gateway, features, serving: tiny.service, sent },
    async stop() {
      await gateway.stop();
      await features.stop();
      await tiny.stop();
    },
  };
}
