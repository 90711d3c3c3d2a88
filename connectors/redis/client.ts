import { Redis } from 'ioredis';
import type { Logger } from '#monitoring/log';
import { ConnectionError } from '../errors.ts';
import type { RedisConfig } from './config.ts';

/** A Redis client that connects when told to, pipelines commands of one event-loop turn, and reconnects for ever. */
export function createRedis(config: RedisConfig, log: Logger): Redis {
  const redis = new Redis({
    host: config.host,
    port: config.port,
    db: config.database,
    ...(config.username === undefined ? {} : { username: config.username }),
    ...(config.password === undefined ? {} : { password: config.password }),
    ...(config.tls ? { tls: {} } : {}),
    connectTimeout: config.connectTimeoutMs,
    commandTimeout: config.commandTimeoutMs,
    // A connection that answers nothing any more is given up: a command's timeout alone would leave it in use.
    socketTimeout: 2 * config.commandTimeoutMs,
    enableAutoPipelining: true,
    lazyConnect: true,
    maxRetriesPerRequest: 1,
    retryStrategy: (attempt) => Math.min(50 * 2 ** attempt, 2_000),
  });
  redis.on('error', (error: Error) => log.warn({ component: 'connectors.redis', error }, 'redis.error'));
  return redis;
}

/** @throws {@link ConnectionError} naming the address */
export async function connectRedis(redis: Redis, config: RedisConfig): Promise<void> {
  try {
    await redis.connect();
    await redis.ping();
  } catch (error) {
    throw new ConnectionError(`Redis at ${config.host}:${config.port}`, error);
  }
}
