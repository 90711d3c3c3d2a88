import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import autocannon from 'autocannon';
import { serveForBench } from '../tools/bench_serving.ts';
import { openLoop, posts } from '../tools/open_loop.ts';
import { percentile } from '../tools/quantiles.ts';
import { report } from '../tools/result.ts';
import { instances, trainBenchModel } from '../workloads/serving_workload.ts';

// Three times as many batches of a hundred rows as can be answered, at their own pace, for a minute: what is taken is answered in time, the rest is
// refused at once, and all is well again as soon as it is over.
const SECONDS = 60;
const CONNECTIONS = 600;

const { model } = await trainBenchModel();
const { serving, stop } = await serveForBench({ bench: model.package });
const bodies = Array.from({ length: 20 }, (_, seed) =>
  JSON.stringify({ model_name: 'bench', instances: instances(100, seed) }),
);
const path = '/predict/batch';
const port = Number(new URL(serving.url).port);

const requests = bodies.map((body) => ({
  ...{ method: 'POST' as const, path, headers: { 'content-type': 'application/json' }, body },
}));
const closed = (duration: number) => autocannon({ url: serving.url, connections: 16, workers: 1, requests, duration });
await closed(5);
const capacity = (await closed(8)).requests.average;

/** What is in use on the heap and beside it, after collecting garbage. */
function liveMb(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 1e6;
}

const delays = monitorEventLoopDelay({ resolution: 10 });
delays.enable();
const before = liveMb();
const load = { port, requests: posts(path, bodies), requestsASecond: 3 * capacity, connections: CONNECTIONS };
const { latencies, notSent, broken } = await openLoop({ ...load, seconds: SECONDS });
const common = {
  bench: 'overload',
  case: `${(3 * capacity).toFixed(0)} requests/s, ${capacity.toFixed(0)} can be answered`,
};
const [taken, refused] = [latencies[200] ?? [], latencies[503] ?? []];
const others = Object.keys(latencies).filter((status) => status !== '200' && status !== '503');
report({ ...common, metric: 'answered', value: taken.length / SECONDS, unit: 'requests/s' });
report({ ...common, metric: 'refused', value: refused.length / SECONDS, unit: 'requests/s' });
report({ ...common, metric: 'p99 of what is answered', value: percentile(taken, 0.99), unit: 'ms', ceiling: 250 });
report({ ...common, metric: 'longest turn of the event loop', value: delays.max / 1e6, unit: 'ms' });
report({ ...common, metric: 'p99 of what is refused', value: percentile(refused, 0.99), unit: 'ms' });
report({ ...common, metric: 'other answers, broken connections', value: others.length + broken, unit: '', ceiling: 0 });
report({
  ...common,
  metric: `without one of ${CONNECTIONS} connections`,
  value: notSent / SECONDS,
  unit: 'requests/s',
});
await sleep(1_000);
const after = await openLoop({ ...load, requestsASecond: capacity / 4, seconds: 3 });
const refusedAfter = (after.latencies[503] ?? []).length;
report({
  ...common,
  metric: 'refused a second later, at a quarter',
  value: refusedAfter,
  unit: 'requests',
  ceiling: 0,
});
report({
  ...{ ...common, metric: 'p99 a second later, at a quarter', unit: 'ms', ceiling: 250 },
  value: percentile(after.latencies[200], 0.99),
});
const live = liveMb();
const kept = { metric: 'live memory afterwards', value: live, unit: 'MB', peer: 'before', peerValue: before };
report({ ...common, ...kept, ceiling: before + 20 });

await stop();
