import { fraudView } from '#examples/fraud/features/fraud';
import { generateTransactions } from '#examples/fraud/transaction_generator';
import { type EntityState, emptyEntityState } from '#feature_store/aggregation/entity_state';
import { ViewComputation } from '#feature_store/aggregation/view_computation';
import type { EventFields } from '#feature_store/definitions/sources/source';
import { DAY_MS } from '#kernel/time';

// A partition's features, again and again for some seconds: argument 1; argument 2 is the partition, which has accounts of its own. Prints `{ events, cpuSeconds }`.
const [seconds = '5', seed = '1'] = process.argv.slice(2);
const events = generateTransactions({
  ...{ seed: Number(seed), events: 50_000, accounts: 600, days: 14, endMs: Date.UTC(2026, 10, 1) },
})
  .filter(({ arrival }) => arrival !== 'invalid')
  .map(({ accountId, timestampMs, body }) => ({
    ...{ accountId, timestampMs, fields: JSON.parse(body) as EventFields },
  }));

function pass(): void {
  const computation = new ViewComputation(fraudView, DAY_MS);
  const states = new Map<string, EntityState>();
  for (const { accountId, timestampMs, fields } of events) {
    let state = states.get(accountId);
    if (state === undefined) {
      state = emptyEntityState();
      states.set(accountId, state);
    }
    computation.decay(state, timestampMs, () => {});
    computation.apply(state, fields, timestampMs);
  }
}

pass();
const endAt = performance.now() + Number(seconds) * 1_000;
const begin = process.cpuUsage();
let passes = 0;
do {
  pass();
  passes += 1;
} while (performance.now() < endAt);
const { user, system } = process.cpuUsage(begin);
process.stdout.write(`${JSON.stringify({ events: passes * events.length, cpuSeconds: (user + system) / 1e6 })}\n`);
