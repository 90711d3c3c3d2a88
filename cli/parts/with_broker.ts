import type { Broker } from '#connectors/connector';
import { startAll } from '#kernel/lifecycle';
import { createLogger } from '#monitoring/log';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import { openBroker } from './open_parts.ts';

/** Does `work` with the broker of the configuration, or that of the platform that runs and has its folder, in which missing topics of the platform are created. */
export async function withBroker<C extends PlatformConfig>(
  config: C,
  work: (broker: Broker, config: C) => Promise<void>,
): Promise<void> {
  const broker = await openBroker(config, createLogger({ level: 'error' }));
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
