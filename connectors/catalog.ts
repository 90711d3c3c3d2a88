import { z } from 'zod';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import type { Broker } from './connector.ts';
import { diskLogConfigSchema } from './disk_log/config.ts';
import { DiskLog } from './disk_log/disk_log.ts';
import { kafkaConfigSchema } from './kafka/config.ts';
import { KafkaBroker } from './kafka/kafka_broker.ts';
import { kinesisConfigSchema } from './kinesis/config.ts';
import { KinesisBroker } from './kinesis/kinesis_broker.ts';
import { pubSubConfigSchema } from './pubsub/config.ts';
import { PubSubBroker } from './pubsub/pubsub_broker.ts';

/** Every kind of broker there is: `broker.kind` in configs/*.yaml picks one. */
export const brokerConfigSchema = z.discriminatedUnion('kind', [
  diskLogConfigSchema,
  kafkaConfigSchema,
  kinesisConfigSchema,
  pubSubConfigSchema,
]);
export type BrokerConfig = z.infer<typeof brokerConfigSchema>;

export function createBroker(deps: { log: Logger; clock: Clock }, config: BrokerConfig): Broker {
  switch (config.kind) {
    case 'disk_log':
      return new DiskLog(deps, config);
    case 'kafka':
      return new KafkaBroker(deps, config);
    case 'kinesis':
      return new KinesisBroker(deps, config);
    case 'pubsub':
      return new PubSubBroker(deps, config);
  }
}
