import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { sqlOfflineDatabase } from '#cli/parts/offline_database';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { dataSubject } from '#feature_store/data_subjects/erasable';
import { offlineData, onlineData } from '#feature_store/data_subjects/stored_data';
import { topicData } from '#feature_store/data_subjects/topic_data';
import { PgliteExecutor } from '#feature_store/database/pglite_executor';
import { count, sum } from '#feature_store/definitions/aggregations';
import { featureView } from '#feature_store/definitions/feature_view';
import { entity, eventSource } from '#feature_store/definitions/sources/source';
import { type EntityKey, entityKeyFromId } from '#feature_store/definitions/values/entity_key';
import { Erasures, encodeErasureRequest, fingerprintOf } from '#feature_store/erasure/erasures';
import { MemoryOnlineStore } from '#feature_store/online/memory_store';
import { HOUR_MS, type ProcessingTime } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { buildFeaturePipeline } from '#pipelines/jobs/feature_pipeline';
import { createPipeline } from '#pipelines/model/pipeline';
import { type PipelineHandle, runEmbedded } from '#pipelines/runner/embedded';
import { createFeatureMetrics } from '#pipelines/transforms/feature_metrics';
import { holdsWithin, until } from '../../../support/turns.ts';

// Random events of users and accounts, erasures at random points, kills and drains, and events of those who come back, compared with a list of what each entity
// has sent since it was last erased; then all windows pass.

const folder = mkdtempSync(join(tmpdir(), 'erasures-'));
const TOPICS = { raw: 'raw', features: 'features', dead: 'dead' };

const payments = eventSource({
  ...{ name: 'payments', eventTypes: ['payment'], schemaVersion: 1, eventIdField: 'event_id', timestampField: 'at' },
  schema: z.strictObject({
    ...{ event_id: z.string(), event_type: z.string(), at: z.string() },
    ...{ user_id: z.string(), account_id: z.string(), n: z.number() },
  }),
});
const viewOf = (name: string, joinKey: string) =>
  featureView({
    ...{ name: `${name}_payments`, version: 1, entity: entity(name, [joinKey]), source: payments, ttl: '30d' },
    ...{ owner: 'o', description: 'd' },
    features: { ...count().over('1h'), ...sum('n').over('1h') },
  });
const VIEWS = [viewOf('user', 'user_id'), viewOf('account', 'account_id')] as const;

/** Time that jumps. */
let aheadMs = 0;
const clock = { now: () => (Date.now() + aheadMs) as ProcessingTime };

const offline = sqlOfflineDatabase(
  { sql: new PgliteExecutor(join(folder, 'offline')), log: silentLogger, views: VIEWS },
  'pglite',
);
beforeAll(() => offline.start(), 120_000);
afterAll(async () => {
  await offline.stop();
  rmSync(folder, { recursive: true, force: true });
});

function filesWith(directory: string, text: string): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => {
    const file = join(directory, name);
    return statSync(file).isFile() && readFileSync(file).includes(text);
  });
}

class Platform {
  readonly directory: string;
  readonly broker: DiskLog;
  readonly online: MemoryOnlineStore;
  #handle: PipelineHandle | undefined;

  constructor(directory: string) {
    this.directory = directory;
    this.broker = new DiskLog(
      { log: silentLogger, clock },
      { kind: 'disk_log', directory: join(directory, 'log'), fsync: 'never', segmentBytes: 10_000 },
    );
    this.online = new MemoryOnlineStore(
      { log: silentLogger, clock, ttlMs: new Map() },
      { file: join(directory, 'online', 'rows') },
    );
  }

  async start(): Promise<void> {
    await this.broker.start();
    await this.broker.ensureTopics(Object.values(TOPICS).map((name) => ({ name, partitions: 3 })));
    await this.online.start();
  }

  async run(): Promise<void> {
    const erasures = new Erasures();
    erasures.load(await offline.erasures.read(0));
    const deps = {
      ...{ broker: this.broker, online: this.online, offline, views: VIEWS, log: silentLogger, clock, erasures },
      metrics: createFeatureMetrics(createMetricsRegistry({ process: false })),
      discardSnapshots: async () => this.#handle?.discardOlderSnapshots(),
    };
    const settings = {
      ...{ rawEventsTopic: TOPICS.raw, featureEventsTopic: TOPICS.features, deadLetterTopic: TOPICS.dead, group: 'g' },
      ...{ outOfOrderMs: 1_000, allowedLatenessMs: 10 * HOUR_MS, idleAfterMs: 50 },
    };
    this.#handle = runEmbedded(
      createPipeline((root) => buildFeaturePipeline(root, deps, settings)),
      { clock, snapshots: { directory: join(this.directory, 'snapshots'), intervalMs: 40 }, maxRetries: 0 },
    );
    await this.#handle.loaded;
  }

  async end(isKilled: boolean): Promise<void> {
    await (isKilled ? this.#handle?.cancel() : this.#handle?.stop());
    this.#handle = undefined;
  }

  async stop(): Promise<void> {
    await this.end(false);
    await this.broker.stop();
    await this.online.stop();
  }
}

/** After so many, an event that was sent has been read. */
const TURNS = 20_000;

type Step =
  | { readonly do: 'pay'; readonly user: number; readonly account: number; readonly n: number }
  | { readonly do: 'erase'; readonly entity: 0 | 1; readonly which: number; readonly restart: boolean }
  | { readonly do: 'restart'; readonly isKilled: boolean };

const index = fc.integer({ min: 0, max: 2 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('pay' as const),
      user: index,
      account: index,
      n: fc.integer({ min: 1, max: 9 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('erase' as const),
      entity: fc.constantFrom(0 as const, 1 as const),
      which: index,
      restart: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), isKilled: fc.boolean() }) },
);

const keyOf = (at: 0 | 1, id: string): EntityKey => entityKeyFromId(VIEWS[at], id);

let run = 0;

/** What each entity has sent since it was last erased: the oracle. */
class Known {
  readonly payments = new Map<EntityKey, number[]>();
  readonly erased = new Set<EntityKey>();

  pay(key: EntityKey, n: number): void {
    this.payments.set(key, [...(this.payments.get(key) ?? []), n]);
    this.erased.delete(key);
  }

  erase(key: EntityKey): void {
    this.payments.delete(key);
    this.erased.add(key);
  }
}

test('random events, erasures, kills and comebacks: each entity has what it has sent since its last erasure, and who was erased is nowhere', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 30 }), async (steps) => {
      run += 1;
      const platform = new Platform(join(folder, `run-${run}`));
      await platform.start();
      await platform.run();
      const known = new Known();
      let closing = 0;
      const userId = (at: number): string => `user-${run}-${at}-zq`;
      const accountId = (at: number): string => `account-${run}-${at}-zq`;
      try {
        for (const [at, one] of steps.entries()) {
          // No two happen at one time.
          aheadMs += 5;
          if (one.do === 'restart') {
            await platform.end(one.isKilled);
            await platform.run();
          } else if (one.do === 'pay') {
            await pay(platform, known, { user: userId(one.user), account: accountId(one.account), id: at, n: one.n });
          } else {
            const id = one.entity === 0 ? userId(one.which) : accountId(one.which);
            await eraseOn(platform, keyOf(one.entity, id), id, one.restart);
            known.erase(keyOf(one.entity, id));
          }
        }
        await check(platform, known, (key) => {
          closing += 1;
          const account = key.slice('account:'.length);
          return pay(platform, known, { user: `closing-${run}`, account, id: 1_000 + closing, n: 1 });
        });
        // All windows pass; who was erased is not written again.
        aheadMs += 3 * HOUR_MS;
        for (const key of known.payments.keys()) {
          await until(async () => (await read(platform, key))?.count_1h === 0);
        }
        await platform.end(false);
        for (const key of known.erased) {
          expect(await read(platform, key)).toBeUndefined();
          const rows = await offline.subjects.read('feature_rows', key, {}, { offset: 0, limit: 10 });
          expect(rows).toEqual([]);
          expect(filesWith(platform.directory, key.slice(key.indexOf(':') + 1))).toEqual([]);
        }
      } finally {
        await platform.stop();
      }
    }),
    { numRuns: 12, endOnFailure: true },
  );
}, 300_000);

async function pay(
  { broker }: Platform,
  known: Known,
  {
    user,
    account,
    id,
    n,
  }: { readonly user: string; readonly account: string; readonly id: number; readonly n: number },
): Promise<void> {
  const at = new Date(clock.now()).toISOString();
  const event = { event_id: `e${run}-${id}`, event_type: 'payment', at, user_id: user, account_id: account, n };
  await broker.producer.send(TOPICS.raw, [{ key: user, value: JSON.stringify(event) }]);
  known.pay(keyOf(0, user), n);
  known.pay(keyOf(1, account), n);
}

async function eraseOn(platform: Platform, key: EntityKey, id: string, restart: boolean): Promise<void> {
  const { broker, online } = platform;
  const erasedAtMs = clock.now();
  aheadMs += 5;
  const { secret } = await offline.erasures.read(erasedAtMs);
  const fingerprint = fingerprintOf(secret, key);
  await offline.erasures.write({ fingerprint, erasedAtMs });
  const subject = dataSubject(key, VIEWS);
  for (const place of [offlineData(offline.subjects), onlineData(online)]) await place.erase(subject);
  const value = encodeErasureRequest(secret, key, erasedAtMs);
  await broker.producer.send(TOPICS.raw, [{ key: id, value }]);
  if (restart) {
    await platform.end(true);
    await platform.run();
  }
  await until(() => offline.erasures.isApplied(fingerprint));
  for (const topic of Object.values(TOPICS)) await topicData(broker, topic, false).erase(subject);
}

async function read({ online }: Platform, key: EntityKey) {
  const view = VIEWS[key.startsWith('user:') ? 0 : 1];
  const [row] = await online.read(view, [key]);
  return row?.values;
}

/**
 * @param pays - sends one more event of an account: its events come by several partitions, and an event that is read after a later one is in the rows after it, not
 * in the one before
 */
async function check(platform: Platform, known: Known, pays: (key: EntityKey) => Promise<void>): Promise<void> {
  for (const key of [...known.payments.keys()]) {
    for (let tries = 0; ; tries += 1) {
      const amounts = known.payments.get(key) as number[];
      const expected = { count_1h: amounts.length, sum_n_1h: amounts.reduce((total, n) => total + n, 0) };
      const isRight = async () => JSON.stringify(await read(platform, key)) === JSON.stringify(expected);
      if (await holdsWithin(TURNS, isRight)) break;
      if (tries === (key.startsWith('user:') ? 10 : 5))
        expect({ key, ...(await read(platform, key)) }).toEqual({ key, ...expected });
      aheadMs += 5;
      if (key.startsWith('account:')) await pays(key);
    }
  }
  for (const key of known.erased) expect(await read(platform, key)).toBeUndefined();
}

test('an erasure that was not made with the secret of the database erases nothing, and is a dead letter', async () => {
  const platform = new Platform(join(folder, 'forged'));
  await platform.start();
  await platform.run();
  const at = new Date(clock.now()).toISOString();
  const ids = { user_id: 'forged-user', account_id: 'forged-account' };
  const event = { event_id: 'e', event_type: 'payment', at, ...ids, n: 1 };
  const key = entityKeyFromId(VIEWS[0], ids.user_id);
  await platform.broker.producer.send(TOPICS.raw, [
    { key: 'k', value: JSON.stringify(event) },
    { key: 'k', value: encodeErasureRequest('guessed', key, clock.now()) },
  ]);
  const letters = topicData(platform.broker, TOPICS.dead, false);
  await until(async () => (await read(platform, key))?.count_1h === 1);
  const subject = dataSubject(key, VIEWS);
  await until(async () => {
    for await (const { value } of letters.read(subject)) {
      expect(value).toMatchObject({ reason: expect.stringMatching(/proof is wrong/), stage: 'pipeline.decode' });
      return true;
    }
    return false;
  });
  expect((await read(platform, key))?.count_1h).toBe(1);
  await platform.stop();
}, 60_000);
