import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BrokerConfig, createBroker } from '#connectors/catalog';
import { messageOf } from '#kernel/errors';
import { systemClock } from '#kernel/time';
import { createLogger } from '#monitoring/log';
import { type DoFn, type ProcessContext, valueState } from '#pipelines/engine/dofn';
import { BrokerSource } from '#pipelines/io/broker_source';
import type { KV } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { keyBy, parDo, read } from '#pipelines/model/transforms';
import { runEmbedded } from '#pipelines/runner/embedded';

// The job that scripts/chaos/brokers.ts kills: counts and sums by key what a topic brings, and upserts them into a file. Argument: a job as JSON.

export interface BrokerJob {
  readonly broker: BrokerConfig;
  readonly topic: string;
  readonly folder: string;
}

/** Count and sum of a key so far; the newest row of a key is what an upserting store would hold. */
export type CountedRow = readonly [key: string, count: number, sum: number];

interface Counted {
  readonly count: number;
  readonly sum: number;
}

class CountAndSum implements DoFn<KV<string, number>, never> {
  readonly counted = valueState<Counted>('counted');
  readonly #output: string;
  readonly #rows = new Map<string, Counted>();

  constructor(output: string) {
    this.#output = output;
  }

  process({ key, value }: KV<string, number>, context: ProcessContext<never>): void {
    const state = context.state(this.counted);
    const before = state.read() ?? { count: 0, sum: 0 };
    const after = { count: before.count + 1, sum: before.sum + value };
    state.write(after);
    this.#rows.set(key, after);
  }

  finishBundle(): void {
    const lines = [...this.#rows].map(([key, { count, sum }]) =>
      JSON.stringify([key, count, sum] satisfies CountedRow),
    );
    this.#rows.clear();
    if (lines.length > 0) appendFileSync(this.#output, `${lines.join('\n')}\n`);
  }
}

const job = JSON.parse(process.argv[2] ?? '{}') as BrokerJob;
const log = createLogger({ level: 'error' });
const broker = await createBroker({ log, clock: systemClock }, job.broker);
try {
  await broker.start(new AbortController().signal);
} catch (error) {
  // Its supervisor starts it again.
  process.stderr.write(`the job cannot begin: ${messageOf(error)}\n`);
  process.exit(1);
}
const source = new BrokerSource<{ key: string; value: number }>(broker, {
  topics: [job.topic],
  group: 'chaos',
  startAt: 'earliest',
  outOfOrderMs: 1_000,
  idleAfterMs: 1_000,
  decode: ({ key = '', value }) => ({ element: { key, value: Number(value.toString()) }, eventTimeMs: undefined }),
});
const plan = createPipeline((root) => {
  root
    .apply(read(job.topic, source, 'Read'))
    .apply(keyBy(({ key }) => key))
    .map(({ key, value }) => ({ key, value: value.value }))
    .apply(parDo(new CountAndSum(join(job.folder, 'output.jsonl')), { name: 'CountAndSum' }));
});
const handle = runEmbedded(plan, {
  log,
  snapshots: { directory: join(job.folder, 'snapshots'), intervalMs: 200 },
  maxRetries: 1_000,
});
process.once('SIGTERM', () => void handle.stop().then(() => process.exit(0)));
process.stdout.write('running\n');
await handle.finished;
