import { createBroker } from '#connectors/catalog';
import type { Broker } from '#connectors/connector';
import { startAll } from '#kernel/lifecycle';
import { systemClock } from '#kernel/time';
import { createLogger } from '#monitoring/log';
import type { PlatformConfig } from './platform_config.ts';

/** Does `work` with the broker of the configuration, in which the platform's topics are made if they are not there. */
export async function withBroker(
  config: PlatformConfig,
  work: (broker: Broker, config: PlatformConfig) => Promise<void>,
): Promise<void> {
  const broker = createBroker({ log: createLogger({ level: 'error' }), clock: systemClock }, config.broker);
  const services = await startAll([broker], new AbortController().signal);
  try {
    const { topics } = config;
    const names = [topics.rawEvents, topics.featureEvents, topics.deadLetters, topics.predictions];
    await broker.ensureTopics(names.map((name) => ({ name, partitions: topics.partitions })));
    await work(broker, config);
  } finally {
    await services[Symbol.asyncDispose]();
  }
}
