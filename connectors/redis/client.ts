import { Cluster, Redis } from 'ioredis';
import type { Logger } from '#monitoring/log';
import { ConnectionError } from '../errors.ts';
import { readTlsFiles } from '../tls_files.ts';
import type { RedisConfig } from './config.ts';

/** One server, or the nodes of a cluster. */
export type RedisClient = Redis | Cluster;

const retryDelayMs = (attempt: number): number => Math.min(50 * 2 ** attempt, 2_000);

/** A Redis client that connects when told to, pipelines commands of one event-loop turn, and reconnects for ever. */
export function createRedis(config: RedisConfig, log: Logger): RedisClient {
  const options = {
    ...(config.username === undefined ? {} : { username: config.username }),
    ...(config.password === undefined ? {} : { password: config.password }),
    ...(config.tls === false ? {} : { tls: config.tls === true ? {} : readTlsFiles(config.tls) }),
    connectTimeout: config.connectTimeoutMs,
    commandTimeout: config.commandTimeoutMs,
    // A connection that answers nothing any more is given up: a command's timeout alone would leave it in use.
    socketTimeout: 2 * config.commandTimeoutMs,
    maxRetriesPerRequest: 1,
  };
  const redis =
    config.cluster === undefined
      ? new Redis({
          ...options,
          host: config.host,
          port: config.port,
          db: config.database,
          enableAutoPipelining: true,
          lazyConnect: true,
          retryStrategy: retryDelayMs,
        })
      : new Cluster(config.cluster.map(addressOf), {
          // No automatic pipelines: ioredis puts scripts of several keys into those of other slots.
          redisOptions: options,
          lazyConnect: true,
          clusterRetryStrategy: retryDelayMs,
          slotsRefreshTimeout: config.connectTimeoutMs,
        });
  redis.on('error', (error: Error) => log.warn({ component: 'connectors.redis', error }, 'redis.error'));
  return redis;
}

function addressOf(node: string): { readonly host: string; readonly port: number } {
  const colon = node.lastIndexOf(':');
  return { host: node.slice(0, colon), port: Number(node.slice(colon + 1)) };
}

/** @throws {@link ConnectionError} naming the address */
export async function connectRedis(redis: RedisClient, config: RedisConfig): Promise<void> {
  // Why a connection was not made, such as a certificate that is not trusted: the command itself learns only that it is closed.
  let reason: unknown;
  const note = (error: unknown): void => {
    reason = error;
  };
  redis.on('error', note);
  try {
    await redis.connect();
    await redis.ping();
  } catch (error) {
    const address = config.cluster === undefined ? `${config.host}:${config.port}` : config.cluster.join(', ');
    throw new ConnectionError(`Redis at ${address}`, reason ?? error);
  } finally {
    redis.off('error', note);
  }
}
