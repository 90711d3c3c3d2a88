import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { sqlOfflineDatabase } from '#cli/parts/offline_database';
import { createRedis } from '#connectors/redis/client';
import { redisConfigSchema } from '#connectors/redis/config';
import { PostgresExecutor } from '#feature_store/database/postgres_executor';
import { RedisOnlineStore } from '#feature_store/online/redis/redis_store';
import { silentLogger } from '#monitoring/log';
import { describeValueTypes } from '../../conformance/feature_store/value_types_contract.ts';
import { nearView, typedView } from '../../support/definitions/typed_values.ts';
import { serviceAddress } from '../service_address.ts';

const views = [typedView, nearView];

describeValueTypes('Redis and PostgreSQL', async () => {
  const { hostname, port } = new URL(serviceAddress('TEST_REDIS_URL'));
  const redis = redisConfigSchema.parse({ host: hostname, port: Number(port) });
  const online = new RedisOnlineStore(
    { redis: createRedis(redis, silentLogger), views, log: silentLogger },
    { redis, keyPrefix: randomUUID() },
  );
  await online.start();
  const pool = new pg.Pool({ connectionString: serviceAddress('TEST_POSTGRES_URL') });
  const offline = sqlOfflineDatabase({ sql: new PostgresExecutor(pool), log: silentLogger, views }, 'postgres');
  await offline.start();
  return {
    ...{ online, offline },
    async stop() {
      await online.stop();
      await offline.stop();
    },
  };
});
