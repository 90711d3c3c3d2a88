import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { RunningServer } from './managed_process.ts';
import { startKafka, startMlflow, startPostgres, startRedis } from './servers.ts';

export const STACK_SERVERS = ['redis', 'postgres', 'mlflow', 'kafka'] as const;
export type StackServer = (typeof STACK_SERVERS)[number];

/** What the platform leans on in production, for one run alone, which may kill it. */
export interface Stack {
  readonly servers: Readonly<Record<StackServer, RunningServer>>;
  /** Environment variables with which the platform finds them. */
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

export async function startStack(folder: string): Promise<Stack> {
  // PostgreSQL runs as another user.
  chmodSync(folder, 0o755);
  for (const name of STACK_SERVERS) mkdirSync(join(folder, name));
  const [redis, postgres, mlflow, kafka] = await Promise.all([
    startRedis(join(folder, 'redis')),
    startPostgres(join(folder, 'postgres')),
    startMlflow(join(folder, 'mlflow')),
    startKafka(join(folder, 'kafka')),
  ]);
  const servers = { redis, postgres, mlflow, kafka };
  const redisUrl = new URL(redis.env.TEST_REDIS_URL as string);
  const postgresUrl = new URL(postgres.env.TEST_POSTGRES_URL as string);
  const env = {
    ...{ ENVIRONMENT: 'services', MLFLOW_TRACKING_URI: mlflow.env.TEST_MLFLOW_URL as string },
    KAFKA_BROKERS: kafka.env.TEST_KAFKA_BROKERS as string,
    ...{ REDIS_HOST: redisUrl.hostname, REDIS_PORT: redisUrl.port },
    ...{ DATABASE_HOST: postgresUrl.hostname, DATABASE_PORT: postgresUrl.port },
    ...{ DATABASE_USER: postgresUrl.username, DATABASE_NAME: 'postgres', DATABASE_PASSWORD: '' },
  };
  return {
    servers,
    env,
    async stop() {
      for (const server of Object.values(servers)) await server.stop();
    },
  };
}
