import type { LogRecord } from '#connectors/connector';
import { type EntityState, emptyEntityState } from '#feature_store/aggregation/entity_state';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { Erasures, fingerprintOf } from '#feature_store/erasure/erasures';
import { contentHash } from '#kernel/hashes/content_hash';
import { DAY_MS, MIN_EVENT_TIME, SECOND_MS, systemClock } from '#kernel/time';
import { createRecordReader } from '#pipelines/archive/archived_record';
import { createEventDecoder, type DecodedEvent } from '#pipelines/events/decode_events';
import { fateOf, MOST_IDS, noIds, type RecentIds, rememberId } from '#pipelines/transforms/recent_ids';
import { report } from '../tools/result.ts';
import { entityOf, fifteen, keyOf } from '../workloads/features_workload.ts';

// CPU an event of what the pipeline does besides computing features: deduplication, the check for erased entities, and the archive's own decoding. Each beside the path without
// it, in turns in one process.

const bench = 'event_checks';
const EVENTS = 20_000;
const ENTITIES = 500;
const ERASED = 10_000;
const ROUNDS = 9;
const LATENESS_MS = DAY_MS;

const startMs = Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS;
const records = Array.from({ length: EVENTS }, (_, index): LogRecord => {
  const id = entityOf((index * 7_919) % ENTITIES);
  const atMs = startMs + index * SECOND_MS;
  const event = {
    ...{ event_id: `event-${index}`, user_id: id, event_type: 'transaction', timestamp: new Date(atMs).toISOString() },
    ...{ account_id: id, amount: 1 + (index % 997) / 7, currency: 'EUR', merchant_id: `m${index % 91}` },
    ...{ merchant_category: 'grocery', country: 'DE', received_at: new Date(atMs + 40).toISOString() },
    ...{ source: 'gateway', schema_version: 1 },
  };
  const value = Buffer.from(JSON.stringify(event));
  return { key: id, value, headers: {}, timestampMs: atMs + 40, partition: '0', offset: BigInt(index) };
});

const secret = 'bench';
function erasuresOf(erasedAtMs: number): Erasures {
  const erasures = new Erasures();
  erasures.load({
    secret,
    erasures: Array.from({ length: ERASED }, (_, index) => ({
      fingerprint: fingerprintOf(secret, keyOf(`erased-${index}`)),
      erasedAtMs,
    })),
  });
  return erasures;
}

interface Steps {
  readonly deduplicates?: boolean;
  readonly erasures?: Erasures;
  readonly archives?: boolean;
}

/** Decodes and computes all events once. @returns CPU an event, µs */
function run({ deduplicates, erasures, archives }: Steps): number {
  const decode = createEventDecoder(fifteen.sources, systemClock);
  const archive = createRecordReader(fifteen.sources, systemClock, 'raw-events');
  const computation = new ViewComputation(fifteen, LATENESS_MS);
  const states = new Map<EntityKey, { readonly entity: EntityState; readonly seen: RecentIds }>();
  let kept = 0;
  const before = process.cpuUsage();
  for (const record of records) {
    if (archives && archive(record, 0) !== undefined) kept += 1;
    const element = decode(record, MIN_EVENT_TIME, 'raw-events').element as DecodedEvent;
    if (element.ok !== true) throw new Error(`an event was refused: ${JSON.stringify(element)}`);
    const { event, eventId, eventTimeMs } = element;
    const key = keyOf(String(event.account_id));
    if (erasures?.isErased(key, element.knownAtMs)) continue;
    let state = states.get(key);
    if (state === undefined) {
      state = { entity: emptyEntityState(), seen: noIds() };
      states.set(key, state);
    }
    if (deduplicates) {
      const identity = { eventId, userId: String(event.user_id) };
      const content = contentHash(event);
      if (fateOf(state.seen, identity, content) !== 'new') continue;
      rememberId(state.seen, identity, content, eventTimeMs, eventTimeMs - LATENESS_MS, MOST_IDS);
    }
    computation.apply(state.entity, event, eventTimeMs);
    kept += 1;
  }
  const { user, system } = process.cpuUsage(before);
  if (kept < EVENTS) throw new Error(`only ${kept} of ${EVENTS} events were computed`);
  return (user + system) / EVENTS;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;

const CASES: readonly (readonly [name: string, steps: Steps])[] = [
  ['deduplication by event id and content', { deduplicates: true }],
  [`check for erased entities, ${ERASED} known`, { erasures: erasuresOf(startMs - DAY_MS) }],
  ['the same for a backlog of events that are older than the erasures', { erasures: erasuresOf(Date.now() + DAY_MS) }],
  ["the archive's own decoding of each event", { archives: true }],
];
run({});
for (const [name, steps] of CASES) {
  const times = { with: [] as number[], without: [] as number[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    times.without.push(run({}));
    times.with.push(run(steps));
  }
  report({
    ...{ bench, case: name, metric: 'CPU an event: decode, check, 15 features', unit: 'µs' },
    ...{ value: median(times.with), peer: 'the same without it', peerValue: median(times.without) },
  });
}
