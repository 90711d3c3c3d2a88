import { createRedis } from '#connectors/redis/client';
import { redisConfigSchema } from '#connectors/redis/config';
import { RedisOnlineStore } from '#feature_store/online/redis_store';
import { silentLogger } from '#monitoring/log';
import { describeOnlineStore, TTL_MS } from '../../conformance/feature_store/online_store_contract.ts';
import { serviceAddress } from '../service_address.ts';

describeOnlineStore('Redis', async () => {
  const { hostname, port } = new URL(serviceAddress('TEST_REDIS_URL'));
  const redis = redisConfigSchema.parse({ host: hostname, port: Number(port) });
  const store = new RedisOnlineStore(
    { redis: createRedis(redis, silentLogger), ttlMs: TTL_MS },
    { redis, keyPrefix: 'contract' },
  );
  await store.start();
  return store;
});
