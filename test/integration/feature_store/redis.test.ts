import { randomUUID } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { createRedis } from '#connectors/redis/client';
import { redisConfigSchema } from '#connectors/redis/config';
import { field, fromEvent } from '#feature_store/definitions/feature';
import { type FeatureView, featureView } from '#feature_store/definitions/feature_view';
import { RedisOnlineStore } from '#feature_store/online/redis/redis_store';
import { eventTime, processingTime } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import type { RunningServer } from '#scripts/services/managed_process';
import { startRedisCluster } from '#scripts/services/servers';
import {
  contractView,
  describeOnlineStore,
  foreverView,
} from '../../conformance/feature_store/online_store_contract.ts';
import { keyOf } from '../../support/entity_keys.ts';
import { serviceAddress } from '../service_address.ts';

const config = () => {
  const { hostname, port } = new URL(serviceAddress('TEST_REDIS_URL'));
  return redisConfigSchema.parse({ host: hostname, port: Number(port) });
};

async function open(keyPrefix: string, view: FeatureView = contractView, redis = config()): Promise<RedisOnlineStore> {
  const store = new RedisOnlineStore(
    { redis: createRedis(redis, silentLogger), views: [view, foreverView], log: silentLogger },
    { redis, keyPrefix },
  );
  await store.start();
  return store;
}

describeOnlineStore('Redis', () => open('contract'));

let cluster: RunningServer | undefined;
describeOnlineStore('a Redis cluster', async () => {
  cluster ??= await startRedisCluster(mkdtempSync(join(tmpdir(), 'redis-cluster-')));
  // One node knows the others.
  const [first] = (cluster.env.TEST_REDIS_CLUSTER as string).split(',');
  return open('contract', contractView, redisConfigSchema.parse({ cluster: [first] }));
});
afterAll(() => cluster?.stop());

const withFeatures = (features: Parameters<typeof featureView>[0]['features']): FeatureView =>
  featureView({ ...contractView, ttl: '30d', features });

test('what was computed by another definition is never served; what has not changed is', async () => {
  const keyPrefix = randomUUID();
  const amount = field('amount', 'double', 'said one way');
  const before = withFeatures({
    amount,
    country: field('country', 'string', ''),
    gone: field('currency', 'string', ''),
  });
  const after = withFeatures({
    added: field('event_type', 'string', ''),
    country: fromEvent('long', '', () => 1),
    amount: { ...amount, description: 'said another way' },
  });
  const [writer, reader] = [await open(keyPrefix, before), await open(keyPrefix, after)];
  const row = {
    view: 'contract',
    version: 1,
    entityKey: keyOf('a'),
    eventTime: eventTime(Date.now() - 5),
    computedAt: processingTime(Date.now()),
    values: { amount: 7, country: 'DE', gone: 'x' },
  };
  await writer.write([row]);
  expect((await reader.read(after, [keyOf('a'), keyOf('b')]))[0]?.values).toEqual({ amount: 7 });
  expect((await writer.read(before, [keyOf('a')]))[0]).toEqual(row);
  // A layout that nobody has told of: nothing of the row can be trusted.
  const redis = createRedis(config(), silentLogger);
  await redis.connect();
  await redis.del(...(await redis.keys(`${keyPrefix}:layout:*`)));
  const late = await open(keyPrefix, after);
  expect(await late.read(after, [keyOf('a')])).toEqual([undefined]);
  redis.disconnect();
  for (const store of [writer, reader, late]) await store.stop();
});
