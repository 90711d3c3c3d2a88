import { randomUUID } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { createRedis } from '#connectors/redis/client';
import { type RedisConfig, redisConfigSchema } from '#connectors/redis/config';
import { userActivityV1 } from '#examples/activity/features/user_activity';
import { fraudView } from '#examples/fraud/features/fraud';
import { sensorView } from '#examples/sensors/features/sensors';
import { PostgresExecutor } from '#feature_store/database/postgres_executor';
import { RedisOnlineStore } from '#feature_store/online/redis/redis_store';
import { RowCodec } from '#feature_store/online/redis/row_codec';
import { eventTime, processingTime } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import type { RunningServer } from '#scripts/services/managed_process';
import { startRedisCluster } from '#scripts/services/servers';
import {
  describeEntityKeysMigration,
  listeningLogger,
  MIGRATED,
} from '../../conformance/feature_store/entity_keys_migration_contract.ts';
import { keyOf } from '../../support/entity_keys.ts';
import { serviceAddress } from '../service_address.ts';

describeEntityKeysMigration('PostgreSQL', async () => {
  const address = new URL(serviceAddress('TEST_POSTGRES_URL'));
  const admin = new pg.Pool({ connectionString: address.href });
  const database = `keys_${randomUUID().replaceAll('-', '')}`;
  await admin.query(`CREATE DATABASE ${database}`);
  await admin.end();
  address.pathname = `/${database}`;
  return new PostgresExecutor(new pg.Pool({ connectionString: address.href }));
});

let cluster: RunningServer | undefined;
afterAll(() => cluster?.stop());

const SERVERS: readonly (readonly [string, () => Promise<RedisConfig>])[] = [
  [
    'Redis',
    async () => {
      const { hostname, port } = new URL(serviceAddress('TEST_REDIS_URL'));
      return redisConfigSchema.parse({ host: hostname, port: Number(port) });
    },
  ],
  [
    'a Redis cluster',
    async () => {
      cluster = await startRedisCluster(mkdtempSync(join(tmpdir(), 'redis-cluster-')));
      const [first] = (cluster.env.TEST_REDIS_CLUSTER as string).split(',');
      return redisConfigSchema.parse({ cluster: [first] });
    },
  ],
];

test.each(SERVERS)(
  '%s takes over rows and counters that were written before entity keys',
  async (_, open) => {
    const config = await open();
    const keyPrefix = `keys[*]:${randomUUID()}`;
    const redis = createRedis(config, silentLogger);
    await redis.connect();
    const now = Date.now();
    // As the release before wrote them: `PREFIX:view@version:{id}`.
    const write = async (view: typeof fraudView, id: string, ttlMs = 60_000) => {
      const row = {
        view: view.view,
        version: 1,
        entityKey: keyOf(id),
        values: { [Object.keys(view.features)[0] as string]: 7 },
      };
      const packed = new RowCodec(view).encode({ ...row, eventTime: eventTime(now), computedAt: processingTime(now) });
      await redis.set(`${keyPrefix}:${view.view}@1:{${id}}`, packed, 'PX', ttlMs);
    };
    const [fraud, activity, sensor] = [fraudView, userActivityV1, sensorView] as unknown as (typeof fraudView)[];
    const accounts = ['a1', 'x9', 'a|b', '{}', 'a}b', 'line\nbreak', 'account:x9'];
    for (const id of accounts) await write(fraud as typeof fraudView, id);
    for (const id of ['x9', 'user:x9']) await write(activity as typeof fraudView, id);
    for (const id of ['s1|temperature', 'a|b|temperature']) await write(sensor as typeof fraudView, id);
    await redis.hset(`${keyPrefix}:counters:{a1}`, 'attempts', 3, 'calls', 1);
    await redis.hset(`${keyPrefix}:counters:{x9}`, 'attempts', 5);
    // Of a still earlier release.
    await redis.hset(`${keyPrefix}:fraud@1:{hash}`, 'amount', 1);

    const { lines, log } = listeningLogger();
    const start = async () => {
      const store = new RedisOnlineStore(
        { redis: createRedis(config, silentLogger), views: MIGRATED, log },
        { redis: config, keyPrefix },
      );
      await store.start();
      return store;
    };
    // All roles begin at once.
    const stores = await Promise.all([start(), start(), start()]);
    const [store] = stores as [RedisOnlineStore, ...RedisOnlineStore[]];
    const found = await store.read(
      fraudView,
      accounts.map((id) => keyOf(id)),
    );
    expect(found.map((row) => row?.entityKey)).toEqual(accounts.map((id) => keyOf(id)));
    const users = ['x9', 'user:x9', 'a1'].map((id) => keyOf(id, 'user'));
    expect((await store.read(userActivityV1, users)).map((row) => row?.entityKey)).toEqual([
      users[0],
      users[1],
      undefined,
    ]);
    expect((await store.read(sensorView, ['sensor:s1|temperature' as never]))[0]?.entityKey).toBe(
      'sensor:s1|temperature',
    );
    expect(await redis.pttl(`${keyPrefix}:row:fraud@1:{account:a1}`)).toBeGreaterThan(1);
    expect(await store.increment(keyOf('a1'), 'attempts', 1)).toBe(4);
    expect(await store.increment(keyOf('a1'), 'calls', 0)).toBe(1);
    expect(await store.increment(keyOf('x9'), 'attempts', 0)).toBe(0);
    const left = lines.filter(({ msg }) => msg === 'online_store.entity_keys_left');
    expect(left).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ kind: 'rows', examples: [`${keyPrefix}:sensor@1:{a|b|temperature}`] }),
        expect.objectContaining({ kind: 'counters', examples: [`${keyPrefix}:counters:{x9}`] }),
      ]),
    );
    // One x9 goes, the other stays; a later start moves nothing again.
    expect(await store.erase(MIGRATED, keyOf('x9', 'user'))).toBe(1);
    const again = await start();
    const [user] = await again.read(userActivityV1, [keyOf('x9', 'user')]);
    const [account] = await again.read(fraudView, [keyOf('x9')]);
    expect([user, account?.entityKey]).toEqual([undefined, 'account:x9']);
    expect(await again.increment(keyOf('a1'), 'attempts', 0)).toBe(4);
    for (const each of [...stores, again]) await each.stop();
    redis.disconnect();
  },
  120_000,
);
