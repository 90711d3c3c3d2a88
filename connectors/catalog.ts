import { z } from 'zod';
import type { Clock } from '#kernel/time';
import type { Logger } from '#monitoring/log';
import type { Broker } from './connector.ts';
import { kafkaConfigSchema } from './kafka/config.ts';
import { KafkaBroker } from './kafka/kafka_broker.ts';
import { kinesisConfigSchema } from './kinesis/config.ts';
import { KinesisBroker } from './kinesis/kinesis_broker.ts';
import { memoryLogConfigSchema } from './memory/config.ts';
import { MemoryLog } from './memory/memory_log.ts';
import { pubSubConfigSchema } from './pubsub/config.ts';
import { PubSubBroker } from './pubsub/pubsub_broker.ts';

/** Every kind of broker there is: `broker.kind` in configs/*.yaml picks one. */
export const brokerConfigSchema = z.discriminatedUnion('kind', [
  memoryLogConfigSchema,
  kafkaConfigSchema,
  kinesisConfigSchema,
  pubSubConfigSchema,
]);
export type BrokerConfig = z.infer<typeof brokerConfigSchema>;

export function createBroker(deps: { log: Logger; clock: Clock }, config: BrokerConfig): Broker {
  switch (config.kind) {
    case 'memory':
      return new MemoryLog(deps, config);
    case 'kafka':
      return new KafkaBroker(deps, config);
    case 'kinesis':
      return new KinesisBroker(deps, config);
    case 'pubsub':
      return new PubSubBroker(deps, config);
  }
}
