import { Cluster, Redis } from 'ioredis';
import type { Logger } from '#monitoring/log';
import { ConnectionError } from '../errors.ts';
import { readTlsFiles } from '../tls_files.ts';
import type { RedisConfig } from './config.ts';

/** One server, or the nodes of a cluster. */
export type RedisClient = Redis | Cluster;

const SLOTS_REFRESH_MS = 5_000;

const retryDelayMs = (attempt: number): number => Math.min(50 * 2 ** attempt, 2_000);

/** Connections are made anew at most so often because of what a server answers. */
const RECONNECT_EVERY_MS = 1_000;
/** The server behind the connection is the master no more. In scripts older servers wrap the word. */
const IS_REPLICA = /\bREADONLY\b/;

/**
 * Returns ioredis' `reconnectOnError`: a connection to a server that has become a replica is made anew, which leads to the master of the moment
 * by DNS name, sentinel or proxy. The command fails and is tried again by its caller; when the address still leads to a replica, reads
 * are not cut off more than once a second.
 */
function reconnectToMaster(now: () => number = Date.now): (error: Error) => boolean {
  let lastMs = Number.NEGATIVE_INFINITY;
  return ({ message }) => {
    if (!IS_REPLICA.test(message) || now() - lastMs < RECONNECT_EVERY_MS) return false;
    lastMs = now();
    return true;
  };
}

/** Creates a Redis client: it connects with {@link connectRedis}, pipelines commands of one event-loop turn, and reconnects for ever. */
export function createRedis(config: RedisConfig, log: Logger): RedisClient {
  const redis = config.cluster === undefined ? createSingle(config) : createCluster(config, config.cluster);
  redis.on('error', (error: Error) => log.warn({ component: 'connectors.redis', error }, 'redis.error'));
  return redis;
}

function connectionOptions(config: RedisConfig) {
  return {
    ...(config.username === undefined ? {} : { username: config.username }),
    ...(config.password === undefined ? {} : { password: config.password }),
    ...(config.tls === false ? {} : { tls: config.tls === true ? {} : readTlsFiles(config.tls) }),
    // CLIENT LIST shows it.
    connectionName: 'headwater',
    connectTimeout: config.connectTimeoutMs,
    commandTimeout: config.commandTimeoutMs,
    // A connection that answers nothing any more is given up: a command's timeout alone would leave it in use.
    socketTimeout: 2 * config.commandTimeoutMs,
    maxRetriesPerRequest: 1,
    reconnectOnError: reconnectToMaster(),
  };
}

function createSingle(config: RedisConfig): Redis {
  const { host, port, database, sentinel } = config;
  const options = {
    ...connectionOptions(config),
    db: database,
    enableAutoPipelining: true,
    lazyConnect: true,
    retryStrategy: retryDelayMs,
  };
  if (sentinel === undefined) return new Redis({ ...options, host, port });
  return new Redis({
    ...options,
    sentinels: sentinel.nodes.map(addressOf),
    name: sentinel.master,
    ...(sentinel.username === undefined ? {} : { sentinelUsername: sentinel.username }),
    ...(sentinel.password === undefined ? {} : { sentinelPassword: sentinel.password }),
    enableTLSForSentinelMode: sentinel.tls,
    ...(sentinel.tls ? { sentinelTLS: {} } : {}),
    // Sentinels announce a failover: the connection to the old master is left at once, also when that still answers.
    failoverDetector: true,
    sentinelRetryStrategy: retryDelayMs,
    sentinelReconnectStrategy: retryDelayMs,
  });
}

function createCluster(config: RedisConfig, nodes: readonly string[]): Cluster {
  return new Cluster(nodes.map(addressOf), {
    // No automatic pipelines: ioredis puts scripts of several keys into those of other slots.
    redisOptions: connectionOptions(config),
    lazyConnect: true,
    clusterRetryStrategy: retryDelayMs,
    slotsRefreshTimeout: config.connectTimeoutMs,
    // After a failover slots lead to the new masters without waiting for an error.
    slotsRefreshInterval: SLOTS_REFRESH_MS,
  });
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
    throw new ConnectionError(`Redis at ${describeAddress(config)}`, reason ?? error);
  } finally {
    redis.off('error', note);
  }
}

function describeAddress({ host, port, cluster, sentinel }: RedisConfig): string {
  if (cluster !== undefined) return cluster.join(', ');
  return sentinel === undefined
    ? `${host}:${port}`
    : `${sentinel.master} of the sentinels ${sentinel.nodes.join(', ')}`;
}
