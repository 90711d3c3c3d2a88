import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFileSystems } from '#connectors/files/file_systems';
import { account, transactions } from '#examples/fraud/features/transactions';
import { count, sum } from '#feature_store/definitions/aggregations';
import { featureView } from '#feature_store/definitions/feature_view';
import { Erasures } from '#feature_store/erasure/erasures';
import { DAY_MS, HOUR_MS, MINUTE_MS, systemClock } from '#kernel/time';
import { emptyList, writeList } from '#pipelines/archive/archive_list';
import { archivePlace } from '#pipelines/archive/archive_place';
import { type ArchivedEvent, dateOf, writeEvents } from '#pipelines/archive/archived_event';
import { compareViews } from '#pipelines/comparison/compare_views';
import { report } from '../tools/result.ts';

// Two definitions of a view compared on an archive: events a second of CPU time, and memory with five times as many events and entities.

const SIZES = [60_000, 300_000] as const;
const EVENTS_AN_ENTITY = 30;
const DAYS = 10;
const START = Date.UTC(2026, 5, 1);

const base = { name: 'bench', entity: account, source: transactions, ttl: '30d', owner: 'bench' } as const;
const before = featureView({
  ...{ ...base, version: 1, description: 'Before' },
  features: { ...sum('amount').over('24h'), ...count().over('1h') },
});
const isLarge = (event: Readonly<Record<string, unknown>>): boolean => (event.amount as number) > 20;
const after = featureView({
  ...{ ...base, version: 2, description: 'After' },
  features: { ...sum('amount').over('24h'), ...count({ as: 'count', where: isLarge }).over('1h') },
});

function eventOf(id: number, entities: number, stepMs: number): ArchivedEvent {
  const at = Math.floor(START + id * stepMs);
  const timestamp = new Date(at).toISOString();
  const accountId = `a${(id * 7_919) % entities}`;
  const payload = JSON.stringify({
    ...{ event_id: `e${id}`, user_id: accountId, event_type: 'transaction', timestamp, account_id: accountId },
    ...{ amount: (id % 90) + 1, currency: 'EUR', merchant_id: `m${id % 500}`, merchant_category: 'grocery' },
    ...{ country: 'DE', received_at: timestamp, source: 'gateway', schema_version: 1 },
  });
  return {
    ...{ eventType: 'transaction', eventId: `e${id}`, eventTimeMs: at, receivedAtMs: at, recordedAtMs: at, payload },
    ...{ partition: '0', generation: 0, offset: BigInt(id), key: accountId, headers: undefined },
  };
}

for (const total of SIZES) {
  const folder = mkdtempSync(join(tmpdir(), 'bench-diff-'));
  const place = archivePlace(folder, createFileSystems({}));
  const stepMs = (DAYS * DAY_MS) / total;
  const files = [];
  for (let from = 0; from < total; ) {
    const date = dateOf(START + from * stepMs);
    const events: ArchivedEvent[] = [];
    for (; from < total && events.length < 20_000; from += 1) {
      const event = eventOf(from, total / EVENTS_AN_ENTITY, stepMs);
      if (dateOf(event.eventTimeMs) !== date) break;
      events.push(event);
    }
    const of = { eventType: 'transaction', date, partition: '0', generation: 0, revision: 0 };
    files.push(await writeEvents(place, of, events));
  }
  const last = String(total - 1);
  const partition = { position: last, generation: 0, last, first: { offset: '0', at: new Date(START).toISOString() } };
  await writeList(place, { ...emptyList('raw-events'), files, partitions: { 0: partition } }, undefined);
  const begun = process.cpuUsage();
  const startedMs = performance.now();
  let heap = 0;
  const watching = setInterval(() => {
    heap = Math.max(heap, process.memoryUsage().heapUsed);
  }, 50);
  const found = await compareViews(
    {
      ...{ archive: place, erasures: new Erasures(), clock: systemClock, views: [before, after] },
      ...{ outOfOrderMs: MINUTE_MS, offline: { history: { read: async () => [] } } },
    },
    [before, after],
    { sinceMs: START, untilMs: START + DAYS * DAY_MS, allowedLatenessMs: HOUR_MS },
  );
  clearInterval(watching);
  const wallMs = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(begun);
  rmSync(folder, { recursive: true, force: true });
  if (found?.events !== total) throw new Error(`${found?.events} events were compared`);
  const name = `${total} events of ${total / EVENTS_AN_ENTITY} entities`;
  const cpuS = (user + system) / 1e6;
  report({ bench: 'features_diff', case: name, metric: 'a second of CPU time', value: total / cpuS, unit: 'events/s' });
  report({ bench: 'features_diff', case: name, metric: 'wall time', value: wallMs / 1_000, unit: 's' });
  report({ bench: 'features_diff', case: name, metric: 'most heap', value: heap / 2 ** 20, unit: 'MiB' });
}
