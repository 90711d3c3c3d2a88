import { isMainThread } from 'node:worker_threads';
import { type DoFn, type ProcessContext, valueState } from '#pipelines/engine/dofn';
import type { Construct } from '#pipelines/model/graph';
import type { KV } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { keyBy, parDo, read } from '#pipelines/model/transforms';
import { runEmbedded } from '#pipelines/runner/embedded';
import { onThreads } from '#pipelines/runner/sharded/threads';
import { report } from '../tools/result.ts';
import { type Event, Events } from '../workloads/engine_workload.ts';

// Keyed state with some 15 µs of work an element, on one thread and with worker threads that share the keys.

const EVENTS = 1_000_000;
const ROUNDS = 500;

/** A rolling figure of a key's events: work that only the key's own thread can do. */
class Rolling implements DoFn<KV<number, Event>, number> {
  readonly last = valueState<number>('last');
  process({ value }: KV<number, Event>, context: ProcessContext<number>): void {
    const last = context.state(this.last);
    let figure = last.read() ?? 1;
    for (let round = 0; round < ROUNDS; round += 1) figure = Math.sin(figure + value.amount) + 1e-9 * round;
    last.write(figure);
  }
}

export const openPipeline = async () => ({ construct, async close() {} });

const construct: Construct = (root) => {
  root
    .apply(read(EVENTS, new Events(), 'Events'))
    .apply(keyBy((event) => event.key))
    .apply(parDo(new Rolling(), { name: 'Rolling' }));
};

async function throughput(threads: number): Promise<number> {
  const startedMs = performance.now();
  const launch = onThreads({ module: import.meta.url, argument: undefined }, 'warn');
  await runEmbedded(createPipeline(construct), threads === 0 ? {} : { shards: { count: threads, launch } }).finished;
  return (EVENTS / (performance.now() - startedMs)) * 1_000;
}

if (isMainThread) {
  await throughput(0);
  const alone = await throughput(0);
  for (const threads of [1, 2]) {
    report({
      bench: 'threads',
      case: `keyed state, about 15 µs an element, ${threads} worker threads (their start included)`,
      metric: 'throughput',
      value: await throughput(threads),
      unit: 'events/s',
      peer: 'one thread for all',
      peerValue: alone,
      ...(threads === 2 ? { ratioFloor: 1.3 } : {}),
    });
  }
}
