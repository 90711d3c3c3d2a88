import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { fraudView } from '#examples/fraud/features/fraud';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { type EntityState, emptyEntityState } from '#feature_store/aggregation/entity_state';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import { distinct } from '#feature_store/definitions/aggregations';
import { type FeatureView, featureView } from '#feature_store/definitions/feature_view';
import type { EventFields } from '#feature_store/definitions/sources/source';
import { DAY_MS, HOUR_MS } from '#kernel/time';
import { bareLoop, shareOf } from '../tools/calibration.ts';
import { report } from '../tools/result.ts';

// The computation of views alone, on one core: CPU time, without reading and writing.
const bench = 'features_stream';

interface TimedEvent {
  readonly entity: string;
  readonly timeMs: number;
  readonly fields: EventFields;
}

const generated = generateTransactions({
  seed: 1,
  events: 50_000,
  accounts: 600,
  days: 14,
  endMs: Date.UTC(2026, 10, 1),
})
  .filter(({ arrival }) => arrival !== 'invalid')
  .map(({ accountId, timestampMs, body }): TimedEvent => {
    return { entity: accountId, timeMs: timestampMs, fields: JSON.parse(body) as EventFields };
  });
const loop = bareLoop();
report({ bench, case: 'calibration: loop', metric: 'throughput', value: loop, unit: 'events/s' });
const alone = compute(fraudView, generated, false);
report({
  ...{ bench, case: 'fraud view, rows of events alone', metric: 'throughput', unit: 'events/s of CPU' },
  ...{ value: generated.length / alone.seconds, floor: 200_000 * shareOf({ loop }) },
});
const decayed = compute(fraudView, generated, true);
const rowsAnEvent = (decayed.rows / generated.length).toFixed(2);
report({
  ...{
    bench,
    case: `fraud view, and rows for what leaves a window, ${rowsAnEvent} rows an event`,
    metric: 'throughput',
  },
  ...{ value: decayed.rows / decayed.seconds, unit: 'rows/s of CPU' },
});
const tiles = Math.max(...decayed.states.map((state) => state.tiles.tiles.length));
report({ bench, case: 'fraud view, most tiles an account', metric: 'state', value: tiles, unit: 'tiles' });

const KEYS = 20_000;
const EVENTS_A_KEY = 10;
const ofKeys = Array.from({ length: KEYS * EVENTS_A_KEY }, (_, index): TimedEvent => {
  const timeMs = Date.UTC(2026, 10, 1) + index * 500;
  const fields = { amount: (index * 7_919) % 500, merchant_id: `m${index % 40}`, country: 'DE' };
  return { entity: `account:${index % KEYS}`, timeMs, fields };
});
const heapBefore = usedHeap();
const held = compute(fraudView, ofKeys, true);
report({
  ...{ bench, case: `fraud view, ${EVENTS_A_KEY} events of each of ${KEYS} keys in a day`, metric: 'memory' },
  ...{ value: (usedHeap() - heapBefore) / held.states.length, unit: 'bytes a key' },
});

const { source, entity } = fraudView;
const merchants = featureView({
  ...{ name: 'merchants', version: 1, entity, source, ttl: '1d', owner: 'bench', description: 'distinct values' },
  features: { ...distinct('merchant_id').over('1h') },
});
const DISTINCT = 10_000;
const HOURS = 3;
const many = Array.from({ length: HOURS * DISTINCT }, (_, index): TimedEvent => {
  const timeMs = Date.UTC(2026, 10, 1) + Math.floor((index * HOUR_MS) / DISTINCT);
  return { entity: 'account', timeMs, fields: { merchant_id: `m${index}` } };
});
const ofMany = compute(merchants, many, true);
report({
  ...{ bench, case: `distinct over an hour with ${DISTINCT} distinct values an hour, one key`, metric: 'CPU' },
  ...{ value: (ofMany.seconds / many.length) * 1e6, unit: 'µs an event', ceiling: 30 / shareOf({ loop }) },
});

function usedHeap(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().heapUsed;
}

/** @param decays - also gives the rows for what leaves a window */
function compute(view: FeatureView, events: readonly TimedEvent[], decays: boolean) {
  const computation = new ViewComputation(view, DAY_MS);
  const states = new Map<string, EntityState>();
  let rows = 0;
  const emit = (): void => {
    rows += 1;
  };
  const begin = process.cpuUsage();
  for (const { entity: key, timeMs, fields } of events) {
    let state = states.get(key);
    if (state === undefined) {
      state = emptyEntityState();
      states.set(key, state);
    }
    if (decays) computation.decay(state, timeMs, emit);
    computation.apply(state, fields, timeMs);
    rows += 1;
  }
  const { user, system } = process.cpuUsage(begin);
  return { seconds: (user + system) / 1e6, rows, states: [...states.values()] };
}
