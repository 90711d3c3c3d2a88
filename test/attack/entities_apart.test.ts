import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import { z } from 'zod';
import { type OfflineDatabase, sqlOfflineDatabase } from '#cli/parts/offline_database';
import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { createRedis } from '#connectors/redis/client';
import { redisConfigSchema } from '#connectors/redis/config';
import { createFeatureApi } from '#feature_store/api/feature_api';
import { featureApiConfigSchema } from '#feature_store/config';
import { PostgresExecutor } from '#feature_store/database/postgres_executor';
import { count } from '#feature_store/definitions/aggregations';
import { hourOfDay } from '#feature_store/definitions/feature';
import { type FeatureView, featureView } from '#feature_store/definitions/feature_view';
import { entity, eventSource } from '#feature_store/definitions/sources/source';
import { type EntityKey, entityKeyFromId, idOf } from '#feature_store/definitions/values/entity_key';
import { CachedOnlineStore } from '#feature_store/online/cached_store';
import { MemoryOnlineStore } from '#feature_store/online/memory_store';
import type { OnlineStore } from '#feature_store/online/online_store';
import { RedisOnlineStore } from '#feature_store/online/redis/redis_store';
import { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { ttlsOf } from '#feature_store/stores';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import { createPipeline } from '#pipelines/model/pipeline';
import { runEmbedded } from '#pipelines/runner/embedded';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { serviceAddress } from '../integration/service_address.ts';

// Users, orders and seats whose ids are the same, look like keys, or hold what keys are made of.

const anyId = z.string().nullable().optional();
const envelope = { event_id: z.string(), timestamp: z.string() };
const settings = { schemaVersion: 1, eventIdField: 'event_id', timestampField: 'timestamp' };

function viewsOf(run: string): readonly FeatureView[] {
  const users = eventSource({
    ...{ ...settings, name: 'visits', eventTypes: ['visit'] },
    schema: z.strictObject({ ...envelope, event_type: z.literal('visit'), user_id: anyId }),
  });
  const orders = eventSource({
    ...{ ...settings, name: 'orders', eventTypes: ['order'] },
    schema: z.strictObject({ ...envelope, event_type: z.literal('order'), order_id: z.number().nullable() }),
  });
  const seats = eventSource({
    ...{ ...settings, name: 'seats', eventTypes: ['seat'] },
    schema: z.strictObject({ ...envelope, event_type: z.literal('seat'), hall: z.string(), place: z.string() }),
  });
  const of = (name: string, source: typeof users, joinKeys: string[]) =>
    featureView({
      ...{
        name: `${name}_${run}`,
        version: 1,
        entity: entity(`${name}_${run}`, joinKeys),
        source,
        ttl: '30d',
        owner: 'o',
      },
      description: 'd',
      features: { hour_of_day: hourOfDay(), ...count({ as: 'n' }).over('24h') },
    });
  return [of('user', users, ['user_id']), of('order', orders, ['order_id']), of('seat', seats, ['hall', 'place'])];
}

const HOSTILE = [
  '5',
  '-1',
  '9007199254740991',
  'x9',
  'user:x9',
  'a|b',
  'a',
  'b',
  '|',
  '\\',
  'a\\|b',
  '#5',
  '#',
  '(a)',
  '{x}',
  '}',
  ' ',
  'ü/😀?&',
  '%7C',
  'undefined',
  '__proto__',
];
const id = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...HOSTILE) },
  {
    weight: 1,
    arbitrary: fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
      .filter((text) => text.isWellFormed() && !text.includes('\u0000') && text !== '.' && text !== '..'),
  },
);
const happening = fc.oneof(
  fc.record({ type: fc.constant('visit'), user_id: fc.oneof(id, fc.constantFrom(null, undefined, '')) }),
  fc.record({
    type: fc.constant('order'),
    order_id: fc.oneof(fc.integer({ min: -2, max: 6 }), fc.constantFrom(null, 9007199254740991, 9007199254740992)),
  }),
  fc.record({ type: fc.constant('seat'), hall: id, place: fc.oneof(id, fc.constant('')) }),
);

let pool: pg.Pool;
let offline: OfflineDatabase;
beforeAll(async () => {
  pool = new pg.Pool({ connectionString: serviceAddress('TEST_POSTGRES_URL') });
  offline = sqlOfflineDatabase({ sql: new PostgresExecutor(pool), log: silentLogger }, 'postgres');
  await offline.start();
}, 60_000);
afterAll(() => offline.stop());

async function onlineStore(
  kind: 'memory' | 'redis',
  views: readonly FeatureView[],
  folder: string,
): Promise<OnlineStore> {
  const metrics = createMetricsRegistry({ process: false });
  if (kind === 'memory') {
    const deps = { log: silentLogger, clock: systemClock, ttlMs: ttlsOf(views), views };
    return new CachedOnlineStore(new MemoryOnlineStore(deps, { file: join(folder, 'rows') }), metrics, {
      maxEntries: 50,
      ttlMs: 10,
    });
  }
  const { hostname, port } = new URL(serviceAddress('TEST_REDIS_URL'));
  const redis = redisConfigSchema.parse({ host: hostname, port: Number(port) });
  return new RedisOnlineStore(
    { redis: createRedis(redis, silentLogger), views, log: silentLogger },
    { redis, keyPrefix: folder },
  );
}

test.each(['memory', 'redis'] as const)(
  'stream, %s store, history and API keep entities apart, whatever their ids; erasing one leaves all others',
  async (kind) => {
    await fc.assert(
      fc.asyncProperty(fc.array(happening, { minLength: 20, maxLength: 80 }), fc.nat(), async (happenings, chosen) => {
        const run = randomBytes(6).toString('hex');
        const folder = mkdtempSync(join(tmpdir(), 'entities-'));
        const views = viewsOf(run);
        const online = await onlineStore(kind, views, folder);
        await online.start(new AbortController().signal);
        const broker = new DiskLog(
          { log: silentLogger, clock: systemClock },
          { kind: 'disk_log', directory: join(folder, 'log'), fsync: 'never', segmentBytes: 1e8 },
        );
        await broker.start();
        const topics = { rawEventsTopic: 'raw', featureEventsTopic: 'features', deadLetterTopic: 'dead' };
        await broker.ensureTopics(Object.values(topics).map((name) => ({ name, partitions: 1 })));
        const start = Date.now() - 3_600_000;
        const events = happenings.map(({ type, ...fields }, index) => ({
          ...{
            event_id: `e${index}`,
            event_type: type,
            timestamp: new Date(start + index * 10).toISOString(),
            ...fields,
          },
        }));
        await broker.producer.send(
          'raw',
          events.map((event) => ({ key: 'k', value: JSON.stringify(event) })),
        );

        // The slow oracle: counts by type and ids as they are.
        const expected = new Map<EntityKey, { readonly entity: string; readonly view: FeatureView; n: number }>();
        let refused = 0;
        for (const event of happenings) {
          const ids: unknown[] =
            event.type === 'visit'
              ? [event.user_id]
              : event.type === 'order'
                ? [event.order_id]
                : [event.hall, event.place];
          if (ids.some((part) => part === null || part === undefined || part === '' || part === 9007199254740992)) {
            refused += 1;
            continue;
          }
          const view = views.find(({ events }) => events.eventTypes[0] === event.type) as FeatureView;
          const escaped = ids.map((part) =>
            typeof part === 'number'
              ? `#${part}`
              : `${String(part).startsWith('#') ? '\\' : ''}${String(part).replace(/[\\|()]/g, '\\$&')}`,
          );
          const key = `${view.entity.name}:${escaped.join('|')}` as EntityKey;
          const held = expected.get(key) ?? { entity: view.entity.name, view, n: 0 };
          held.n += 1;
          expected.set(key, held);
        }

        const metrics = createFeatureMetrics(createMetricsRegistry({ process: false }));
        const deps = { broker, online, offline, views, metrics, log: silentLogger, clock: systemClock };
        const times = { outOfOrderMs: 60_000, allowedLatenessMs: 86_400_000, idleAfterMs: 1_000 };
        await runEmbedded(
          createPipeline((root) =>
            buildFeaturePipeline(root, deps, { ...topics, ...times, group: 'g', bounded: true }),
          ),
        ).finished;

        const dead: DeadLetter[] = [];
        const published: { key: string | undefined; entity: string; entityKey: string }[] = [];
        for (const [topic, into] of [
          ['dead', dead],
          ['features', published],
        ] as const) {
          const [partition] = await broker.listPartitions(topic);
          const reader = await broker.openPartition(topic, partition as never, { startAt: 'earliest' });
          do {
            for (const record of await reader.poll({
              maxRecords: 1_000,
              maxWaitMs: 50,
              signal: new AbortController().signal,
            })) {
              into.push({ key: record.key, ...JSON.parse(record.value.toString('utf8')) } as never);
            }
          } while (reader.lagRecords() > 0n);
          await reader.close();
        }
        expect(dead.map(({ reason }) => reason)).toEqual(
          Array.from({ length: refused }, () =>
            expect.stringMatching(
              /identifies no (user|order|seat)_\w+: (user_id|order_id|hall|place) is (missing|null|empty|9007199254740992)/,
            ),
          ),
        );
        for (const { key, entity: of, entityKey } of published) {
          expect([key, of]).toEqual([entityKey, entityKey.split(':')[0]]);
          expect(expected.has(entityKey as EntityKey)).toBe(true);
        }

        const features = new FeatureReader({ online, clock: systemClock }, { views, services: [] });
        const api = await createFeatureApi(
          {
            store: online,
            features,
            statistics: offline.statistics,
            embeddings: offline.embeddings,
            history: offline.features,
            views,
            clock: systemClock,
            log: silentLogger,
            metrics: createMetricsRegistry({ process: false }),
          },
          featureApiConfigSchema.parse({}),
        );
        const inject = async (url: string, payload?: object) => {
          const answer = await api.app.inject({
            method: payload === undefined ? 'GET' : 'POST',
            url,
            ...(payload === undefined ? {} : { payload }),
          });
          return { status: answer.statusCode, text: answer.body, body: answer.json() as Record<string, never> };
        };
        const check = async () => {
          for (const [key, { entity: of, view, n }] of expected) {
            const written = idOf(key);
            expect(entityKeyFromId(view, written)).toBe(key);
            const path = `/features/${encodeURIComponent(written)}`;
            const owners = [...expected.values()].filter((other) => {
              try {
                return expected.get(entityKeyFromId(other.view, written)) === other;
              } catch {
                return false;
              }
            });
            const named = await inject(`${path}?entity=${of}`);
            expect(named.body).toMatchObject({ user_id: written, entity: of, features: { n_24h: { value: n } } });
            expect(named.text.match(/"hour_of_day"/g)).toHaveLength(1);
            const unnamed = await inject(path);
            const batch = await inject('/features/batch', { entities: [written] });
            if (owners.length === 1) {
              expect(unnamed.body).toMatchObject({ entity: of, features: { n_24h: { value: n } } });
              expect(batch.body).toMatchObject({
                results: [{ user_id: written, entity: of, features: { n_24h: { value: n } } }],
              });
            } else {
              for (const answer of [unnamed, batch]) {
                expect(answer).toMatchObject({
                  status: 409,
                  body: { error: { code: 'FEATURE_STORE_AMBIGUOUS_ENTITY' } },
                });
                for (const owner of owners) expect(answer.text).toContain(owner.entity);
              }
            }
            const vector = await inject('/features/vector', { service: `${view.view}@1`, rows: [{ entity: written }] });
            expect(vector.body).toMatchObject({ entity: of, vectors: [{ entity: written, features: { n_24h: n } }] });
          }
          for (const view of views) {
            const rows = await offline.features.newestRows(view, { limit: 1_000 });
            const own = [...expected].filter(([, { entity: of }]) => of === view.entity.name);
            expect(new Map(rows.map((row) => [row.entityKey, row.values.n_24h]))).toEqual(
              new Map(own.map(([key, { n }]) => [key, n])),
            );
          }
        };
        await check();
        const keys = [...expected.keys()];
        for (const key of keys) await online.increment(key, 'seen', 1);
        for (const gone of [keys[chosen % keys.length], keys[(chosen * 7 + 3) % keys.length]] as EntityKey[]) {
          const own = expected.get(gone);
          if (own === undefined) continue;
          expected.delete(gone);
          expect(await online.erase(views, gone)).toBe(1);
          expect((await offline.subjects.erase(gone, false)).featureRows).toBe(own.n);
          expect(await online.increment(gone, 'seen', 0)).toBe(0);
          expect((await inject(`/features/${encodeURIComponent(idOf(gone))}?entity=${own.entity}`)).status).toBe(404);
        }
        await check();
        for (const key of expected.keys()) expect(await online.increment(key, 'seen', 0)).toBe(1);
        await api.stop();
        await broker.stop();
        await online.stop();
        rmSync(folder, { recursive: true, force: true });
      }),
      { numRuns: 6 },
    );
  },
  240_000,
);
