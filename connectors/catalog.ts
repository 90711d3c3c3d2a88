import { z } from 'zod';
import { extensionSchema, type MethodList, resolveExtension, withMethods } from '#configs/extension';
import { importOptional } from '#kernel/optional_package';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import type { Broker } from './connector.ts';
import type { Connector } from './define_connector.ts';
import { diskLogConfigSchema } from './disk_log/config.ts';
import { kafkaConfigSchema } from './kafka/config.ts';
import { kinesisConfigSchema } from './kinesis/config.ts';
import { pubSubConfigSchema } from './pubsub/config.ts';

/** Every kind of broker there is: `broker.kind` in configs/*.yaml picks one. */
export const brokerConfigSchema = z.discriminatedUnion('kind', [
  diskLogConfigSchema,
  kafkaConfigSchema,
  kinesisConfigSchema,
  pubSubConfigSchema,
  extensionSchema,
]);
export type BrokerConfig = z.infer<typeof brokerConfigSchema>;

const METHODS: MethodList<Broker> = {
  ...{ start: true, drain: true, stop: true, ensureTopics: true, listTopics: true, listPartitions: true },
  ...{ openPartition: true, commit: true, committed: true },
};

const KINESIS = ['@aws-sdk/client-kinesis', '@smithy/node-http-handler'];
const PUBSUB = ['@google-cloud/pubsub'];

/**
 * Loads the client of the configured kind alone, and returns a broker that has not been started.
 *
 * @param connectors - of the project
 * @throws {@link PackageMissingError} when that client is not installed; {@link ConfigError} for a connector that the project lacks, or its settings
 */
export async function createBroker(
  deps: { log: Logger; clock: Clock },
  config: BrokerConfig,
  connectors: readonly Connector[] = [],
): Promise<Broker> {
  switch (config.kind) {
    case 'disk_log': {
      const { DiskLog } = await import('./disk_log/disk_log.ts');
      return new DiskLog(deps, config);
    }
    case 'kafka': {
      const { KafkaBroker } = await import('./kafka/kafka_broker.ts');
      return new KafkaBroker(deps, config);
    }
    case 'kinesis': {
      const load = () => import('./kinesis/kinesis_broker.ts');
      const { KinesisBroker } = await importOptional({ packages: KINESIS, use: 'broker.kind kinesis' }, load);
      return new KinesisBroker(deps, config);
    }
    case 'pubsub': {
      const load = () => import('./pubsub/pubsub_broker.ts');
      const { PubSubBroker } = await importOptional({ packages: PUBSUB, use: 'broker.kind pubsub' }, load);
      return new PubSubBroker(deps, config);
    }
    case 'extension': {
      const { extension, settings } = resolveExtension('broker', 'connectors', connectors, config);
      return withMethods(`broker "${extension.name}"`, await extension.create(deps, settings), METHODS);
    }
  }
}
