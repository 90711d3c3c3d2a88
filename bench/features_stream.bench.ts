import { fraudView } from '#examples/fraud/features/fraud';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { type EntityState, emptyEntityState } from '#feature_store/aggregation/entity_state';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import { DAY_MS } from '#kernel/time';
import { report } from './result.ts';

// The computation of the fraud view alone: one row an event.
const events = generateTransactions({ seed: 1, events: 50_000, accounts: 600, days: 14, endMs: Date.UTC(2026, 10, 1) })
  .filter(({ arrival }) => arrival !== 'invalid')
  .map(({ accountId, timestampMs, body }) => ({
    accountId,
    timestampMs,
    fields: JSON.parse(body) as Record<string, unknown>,
  }));
const computation = new ViewComputation(fraudView, DAY_MS);
const states = new Map<string, EntityState>();
const startedMs = performance.now();
for (const { accountId, timestampMs, fields } of events) {
  let state = states.get(accountId);
  if (state === undefined) {
    state = emptyEntityState();
    states.set(accountId, state);
  }
  computation.apply(state, fields, timestampMs);
}
const rate = (events.length / (performance.now() - startedMs)) * 1_000;
report({
  bench: 'features_stream',
  case: 'fraud view, computation alone',
  metric: 'throughput',
  value: rate,
  unit: 'events/s',
  floor: 20_000,
});
const tiles = [...states.values()].map((state) => state.tiles.tiles.length);
report({
  bench: 'features_stream',
  case: 'fraud view, most tiles an account',
  metric: 'state',
  value: Math.max(...tiles),
  unit: 'tiles',
});
