import type { OutgoingRecord, Producer } from '#connectors/connector';
import { gatewayConfigSchema } from '#connectors/gateway/config';
import { createGateway } from '#connectors/gateway/gateway';
import { createFeatureApi } from '#feature_store/api/feature_api';
import { featureApiConfigSchema } from '#feature_store/config';
import { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { transactions } from '#feature_store/views/transactions';
import { DAY_MS, systemClock } from '#kernel/time';
import type { HttpService } from '#monitoring/http_service';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { tinyView } from './tiny_model.ts';
import { serveTiny, tinyOnline } from './tiny_serving.ts';

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

/** @param refuses - what the broker never takes; it then refuses all that is sent with it */
export async function startListeners(
  gatewaySettings: object = {},
  refuse: (record: OutgoingRecord) => Error | undefined = () => undefined,
): Promise<Listeners> {
  const sent = new Map<string, OutgoingRecord[]>();
  const producer: Producer = {
    async send(topic, records) {
      await new Promise((resolve) => setImmediate(resolve));
      for (const record of records) {
        const refusal = refuse(record);
        if (refusal !== undefined) throw refusal;
      }
      sent.set(topic, [...(sent.get(topic) ?? []), ...records]);
    },
  };
  const base = { clock: systemClock, log: silentLogger };
  const gateway = await createGateway(
    {
      ...{ ...base, producer, eventTypes: [transactions], metrics: createMetricsRegistry({ process: false }) },
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
      offline: { listStatistics: async () => [] },
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

/** A good event. */
export const goodEvent = (id: string, changes: object = {}) => ({
  event_id: id,
  user_id: 'u1',
  event_type: 'transaction',
  timestamp: new Date().toISOString(),
  account_id: 'a1',
  amount: 5,
  currency: 'EUR',
  merchant_id: 'm1',
  merchant_category: 'grocery',
  country: 'DE',
  ...changes,
});
