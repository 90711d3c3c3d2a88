import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OfflineDatabase } from '#cli/parts/offline_database';
import { openDuckDb, quotedText } from '#connectors/files/duckdb/duckdb';
import { createFileSystems } from '#connectors/files/file_systems';
import { account, transactions } from '#examples/fraud/features/transactions';
import { count, sum } from '#feature_store/definitions/aggregations';
import { featureView } from '#feature_store/definitions/feature_view';
import { entityKeyFromId } from '#feature_store/definitions/values/entity_key';
import { DAY_MS, processingTime } from '#kernel/time';
import { emptyList, writeList } from '#pipelines/archive/archive_list';
import { archivePlace } from '#pipelines/archive/archive_place';
import { type ArchivedEvent, dateOf, writeEvents } from '#pipelines/archive/archived_event';
import { createValueExplainer } from '#pipelines/explanation/value_explainer';
import { median } from '../tools/quantiles.ts';
import { report } from '../tools/result.ts';

// Why a feature of seven days with 10,000 events of its entity has its value: from an archive in which these lie between those of other entities, beside DuckDB summing the same field there.
const OWN_EVENTS = 10_000;
const OTHERS = [0, 190_000] as const;
const DAYS = 7;
const ROUNDS = 7;
const CEILING_MS = 1_000;
const TOPIC = 'raw-events';
const NOW = Date.UTC(2026, 10, 28, 12);

const view = featureView({
  ...{ name: 'bench', version: 1, entity: account, source: transactions, ttl: '30d', owner: 'bench' },
  ...{ description: 'Sums', features: { ...sum('amount').over('7d'), ...count().over('24h') } },
});

const payloadOf = (id: number, accountId: string, at: number): string =>
  JSON.stringify({
    ...{ event_id: `e${id}`, user_id: accountId, event_type: 'transaction', timestamp: new Date(at).toISOString() },
    ...{ account_id: accountId, amount: (id % 90) + 1, currency: 'EUR', merchant_id: `m${id % 500}` },
    ...{ merchant_category: 'grocery', country: 'DE', received_at: new Date(at + 5).toISOString() },
    ...{ source: 'gateway', schema_version: 1 },
  });

function eventOf(id: number, accountId: string, at: number): ArchivedEvent {
  return {
    ...{ eventType: 'transaction', eventId: `e${id}`, eventTimeMs: at, receivedAtMs: at + 5, recordedAtMs: at + 10 },
    ...{ partition: '0', generation: 0, offset: BigInt(id), key: accountId, headers: undefined },
    payload: payloadOf(id, accountId, at),
  };
}

for (const others of OTHERS) {
  const folder = mkdtempSync(join(tmpdir(), 'bench-why-'));
  const place = archivePlace(folder, createFileSystems({}));
  const total = OWN_EVENTS + others;
  const stepMs = (DAYS * DAY_MS - 60_000) / total;
  const share = total / OWN_EVENTS;
  const byDate = new Map<string, ArchivedEvent[]>();
  for (let id = 0; id < total; id += 1) {
    const at = Math.floor(NOW - DAYS * DAY_MS + 60_000 + id * stepMs);
    const event = eventOf(id, id % share === 0 ? 'own' : `a${id % 5_000}`, at);
    const date = dateOf(at);
    const held = byDate.get(date);
    if (held === undefined) byDate.set(date, [event]);
    else held.push(event);
  }
  const files = [];
  for (const [date, events] of byDate) {
    const of = { eventType: 'transaction', date, partition: '0', generation: 0, revision: 0 };
    files.push(await writeEvents(place, of, events));
  }
  await writeList(place, { ...emptyList(TOPIC), files, partitions: { 0: partitionOf(total) } }, undefined);
  const explain = createValueExplainer(
    {
      clock: { now: () => processingTime(NOW) },
      ...{ views: [view], outOfOrderMs: 60_000, archive: place },
      broker: { kind: 'disk_log', listPartitions: async () => [], openPartition: () => Promise.reject(new Error()) },
      online: { read: async () => [undefined] },
      offline: { erasures: { read: async () => ({ secret: 's', erasures: [] }) } } as unknown as OfflineDatabase,
      usedBy: async () => ({ models: [], predictions: [] }),
    },
    { rawEventsTopic: TOPIC, deadLetterTopic: 'dead', allowedLatenessMs: 7 * DAY_MS },
  );
  const entityKey = entityKeyFromId(view, 'own');
  const duck = await openDuckDb('a benchmark');
  const sql = `SELECT sum((payload->>'amount')::DOUBLE) FROM read_parquet(${quotedText(`${folder}/**/*.parquet`)}) WHERE payload->>'account_id' = 'own'`;
  const times: { wall: number; cpu: number; peer: number }[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const begun = process.cpuUsage();
    const startedMs = performance.now();
    const found = await explain({ view, feature: 'sum_amount_7d', entityKey, page: { offset: 0, limit: 100 } });
    const wall = performance.now() - startedMs;
    const { user, system } = process.cpuUsage(begun);
    if (found?.events.total !== OWN_EVENTS) throw new Error(`${found?.events.total} events were found`);
    const peerStartedMs = performance.now();
    await duck.connection.runAndReadAll(sql);
    // The first round loads and compiles.
    if (round > 0) times.push({ wall, cpu: (user + system) / 1_000, peer: performance.now() - peerStartedMs });
  }
  duck.close();
  rmSync(folder, { recursive: true, force: true });
  const name = `a feature of 7 days, ${OWN_EVENTS} events of ${total} in the archive`;
  report({
    ...{ bench: 'why', case: name, metric: 'wall time', value: median(times.map(({ wall }) => wall)), unit: 'ms' },
    ...{ peer: 'DuckDB, the sum alone', peerValue: median(times.map(({ peer }) => peer)), ceiling: CEILING_MS },
  });
  report({
    ...{ bench: 'why', case: name, metric: 'CPU time', value: median(times.map(({ cpu }) => cpu)), unit: 'ms' },
  });
}

function partitionOf(records: number) {
  const last = String(records - 1);
  return {
    position: last,
    generation: 0,
    last,
    first: { offset: '0', at: new Date(NOW - DAYS * DAY_MS).toISOString() },
  };
}
