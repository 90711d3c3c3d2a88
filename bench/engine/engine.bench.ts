import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { assetPath } from '#kernel/project_root';
import { type EventTime, eventTime } from '#kernel/time';
import {
  type DoFn,
  eventTimer,
  type OnTimerContext,
  type ProcessContext,
  type TimerSpec,
  valueState,
} from '#pipelines/engine/dofn';
import { type OffsetRange, OffsetRangeTracker } from '#pipelines/engine/splitting/offset_range';
import { resumeAfter, type SplittableContext, type SplittableDoFn, STOP } from '#pipelines/engine/splitting/splittable';
import type { Construct } from '#pipelines/model/graph';
import { combinePerKey } from '#pipelines/model/grouping';
import type { KV, PCollection } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { keyBy, parDo, read, windowInto } from '#pipelines/model/transforms';
import { fixedWindows, slidingWindows } from '#pipelines/model/windows/windowing';
import { type EmbeddedOptions, runEmbedded } from '#pipelines/runner/embedded';
import { FLINK_JARS } from '#scripts/services/beam_runners';
import { cacheFolder } from '#scripts/services/install';
import { report } from '../tools/result.ts';
import { countAndSum, type Event, Events, eventOf, KEYS, type Sums } from '../workloads/engine_workload.ts';

const BENCH = 'engine';

/** Runs a pipeline over `events` events; events a second. */
async function throughput(events: number, construct: Construct, options?: EmbeddedOptions): Promise<number> {
  const plan = createPipeline(construct);
  const startedMs = performance.now();
  await runEmbedded(plan, options).finished;
  return (events / (performance.now() - startedMs)) * 1_000;
}

/** Counts what reaches the end of a collection. */
function counting<T>(
  collection: PCollection<T>,
  into: { rows: number; total: number },
  totalOf: (value: T) => number,
): void {
  collection.apply(
    parDo<T, never>(
      {
        process(value) {
          into.rows += 1;
          into.total += totalOf(value);
        },
      },
      { name: 'Count' },
    ),
  );
}

function expectEqual(what: string, actual: number, expected: number): void {
  if (actual !== expected) throw new Error(`${what}: ${actual}, where ${expected} was expected`);
}

// --- keyed count and sum over tumbling windows -----------------------------------------------------------------

const TUMBLING_EVENTS = 5_000_000;
const seen = { rows: 0, total: 0 };
const tumbling = await throughput(TUMBLING_EVENTS, (root) => {
  const sums = root
    .apply(read(TUMBLING_EVENTS, new Events(), 'Events'))
    .apply(windowInto({ windowFn: fixedWindows(10) }))
    .apply(keyBy((event) => event.key))
    .apply(combinePerKey(countAndSum));
  counting(sums, seen, ({ value }: KV<number, Sums>) => value.count);
});
expectEqual('tumbling events', seen.total, TUMBLING_EVENTS);
const peakMb = process.resourceUsage().maxRSS / 1_024;
const flink = nativeFlink(TUMBLING_EVENTS, seen.rows);
report({
  bench: BENCH,
  case: 'keyed count and sum, 10 s tumbling, 1,000 keys, 5 M events',
  metric: 'throughput',
  value: tumbling,
  unit: 'events/s',
  floor: 500_000,
  ...(flink === undefined ? {} : { peer: 'native Flink 1.19, parallelism 1', peerValue: flink, ratioFloor: 0.5 }),
});
report({ bench: BENCH, case: 'the same', metric: 'peak memory', value: peakMb, unit: 'MB', ceiling: 512 });

// --- the same with a snapshot each second ------------------------------------------------------------------------

const SAVED_EVENTS = Number(process.env.ENGINE_SAVED_EVENTS ?? 20_000_000);
const SNAPSHOT_MS = 1_000;
const saved = { rows: 0, total: 0 };
const folder = mkdtempSync(join(tmpdir(), 'bench-engine-'));
try {
  const snapshots = { directory: join(folder, 'snapshots'), intervalMs: SNAPSHOT_MS };
  const ours = await throughput(
    SAVED_EVENTS,
    (root) => {
      const sums = root
        .apply(read(SAVED_EVENTS, new Events(), 'Events'))
        .apply(windowInto({ windowFn: fixedWindows(10) }))
        .apply(keyBy((event) => event.key))
        .apply(combinePerKey(countAndSum));
      counting(sums, saved, ({ value }: KV<number, Sums>) => value.count);
    },
    { snapshots },
  );
  expectEqual('events with snapshots', saved.total, SAVED_EVENTS);
  const peer = nativeFlink(SAVED_EVENTS, saved.rows, [String(SNAPSHOT_MS), `file://${folder}/checkpoints`]);
  report({
    bench: BENCH,
    case: `the same, ${SAVED_EVENTS / 1e6} M events, a snapshot each second`,
    metric: 'throughput',
    value: ours,
    unit: 'events/s',
    ...(peer === undefined
      ? {}
      : { peer: 'native Flink 1.19, a checkpoint each second', peerValue: peer, ratioFloor: 3 }),
  });
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const SLIDING_EVENTS = 5_000_000;
const slid = { rows: 0, total: 0 };
const sliding = await throughput(SLIDING_EVENTS, (root) => {
  const sums = root
    .apply(read(SLIDING_EVENTS, new Events(), 'Events'))
    .apply(windowInto({ windowFn: slidingWindows(24 * 3_600, 60) }))
    .apply(keyBy((event) => event.key))
    .apply(combinePerKey(countAndSum));
  counting(sums, slid, ({ value }: KV<number, Sums>) => value.count);
});
// Every event is in 24 h / 1 min windows.
expectEqual('sliding events', slid.total, SLIDING_EVENTS * 24 * 60);
report({
  bench: BENCH,
  case: 'the same, 24 h sliding by 1 min, by tiles',
  metric: 'throughput',
  value: sliding,
  unit: 'events/s',
  peer: '10 s tumbling',
  peerValue: tumbling,
  ratioFloor: 1 / 3,
});

// --- the same by the size of pieces ---------------------------------------------------------------------------------

const sizes: number[] = [];
for (const [piece, events] of [
  [1, 50_000],
  [100, 1_000_000],
  [1_000, 1_000_000],
] as const) {
  const sized = { rows: 0, total: 0 };
  const value = await throughput(events, (root) => {
    const sums = root
      .apply(read(events, new Events(piece), 'Events'))
      .apply(windowInto({ windowFn: fixedWindows(10) }))
      .apply(keyBy((event) => event.key))
      .apply(combinePerKey(countAndSum));
    counting(sums, sized, ({ value: { count } }: KV<number, Sums>) => count);
  });
  expectEqual(`events in pieces of ${piece}`, sized.total, events);
  const [before] = sizes.slice(-1);
  report({
    bench: BENCH,
    case: `keyed count and sum, 10 s tumbling, in pieces of ${piece}`,
    metric: 'throughput',
    value,
    unit: 'events/s',
    ...(before === undefined ? {} : { peer: 'in smaller pieces', peerValue: before, ratioFloor: 1 }),
  });
  sizes.push(value);
}

/**
 * The same job in Java; undefined when Java or the jars are not at hand (npm run test:runners fetches them).
 *
 * @param checkpoints - how often, ms, and where to
 */
function nativeFlink(events: number, expectedRows: number, checkpoints: readonly string[] = []): number | undefined {
  const jars = join(cacheFolder, FLINK_JARS);
  if (!existsSync(jars) || spawnSync('javac', ['-version']).status !== 0) return undefined;
  const classes = join(cacheFolder, 'bench-flink');
  mkdirSync(classes, { recursive: true });
  const compiled = spawnSync('javac', [
    '-nowarn',
    '-cp',
    `${jars}/*`,
    '-d',
    classes,
    assetPath('bench/flink/KeyedSum.java'),
  ]);
  if (compiled.status !== 0) throw new Error(compiled.stderr.toString());
  const opens = ['java.lang', 'java.util', 'java.nio'].map((name) => `--add-opens=java.base/${name}=ALL-UNNAMED`);
  const job = ['KeyedSum', String(events), ...checkpoints];
  const ran = spawnSync('java', [...opens, '-Xmx1g', '-cp', `${classes}:${jars}/*`, ...job]);
  const [, perSecond, rows, total] = /RESULT (\S+) (\d+) (\d+)/.exec(ran.stdout.toString()) ?? [];
  expectEqual('native Flink events', Number(total), events);
  expectEqual('native Flink rows', Number(rows), expectedRows);
  return Number(perSecond);
}

// --- a chain of maps -------------------------------------------------------------------------------------------

const CHAIN_EVENTS = 3_000_000;
const chained = { rows: 0, total: 0 };
const plusOne: DoFn<Event, Event> = { process: (event, context) => context.output(event) };
const chain = await throughput(CHAIN_EVENTS, (root) => {
  let events: PCollection<Event> = root.apply(read(CHAIN_EVENTS, new Events(), 'Events'));
  for (let step = 1; step <= 5; step += 1) events = events.apply(parDo({ ...plusOne }, { name: `Map ${step}` }));
  counting(events, chained, () => 1);
});
expectEqual('chain', chained.rows, CHAIN_EVENTS);
report({
  bench: BENCH,
  case: 'ParDo chain of five',
  metric: 'throughput',
  value: chain,
  unit: 'elements/s',
  floor: 3_000_000,
});

// --- state, and a timer for each key ---------------------------------------------------------------------------

const STATE_EVENTS = 2_000_000;

class KeyedSum implements DoFn<KV<number, Event>, number> {
  readonly sum = valueState<number>('sum');
  process({ value }: KV<number, Event>, context: ProcessContext<number>): void {
    const sum = context.state(this.sum);
    const next = (sum.read() ?? 0) + value.amount;
    sum.write(next);
    context.output(next);
  }
}

class TimedSum implements DoFn<KV<number, Event>, number> {
  readonly sum = valueState<number>('sum');
  readonly flush = eventTimer('flush');
  process({ value }: KV<number, Event>, context: ProcessContext<number>): void {
    const sum = context.state(this.sum);
    const before = sum.read();
    sum.write((before ?? 0) + value.amount);
    // Each element moves its key's timer: idle for a second, and the sum goes out.
    context.timer(this.flush).set(context.timestamp + 1_500);
  }
  onTimer(_: TimerSpec, context: OnTimerContext<number>): void {
    context.output(context.state(this.sum).read() as number);
    context.state(this.sum).clear();
  }
}

const stateful = async (doFn: DoFn<KV<number, Event>, number>): Promise<number> =>
  throughput(STATE_EVENTS, (root) => {
    const sums = root
      .apply(read(STATE_EVENTS, new Events(), 'Events'))
      .apply(keyBy((event) => event.key))
      .apply(parDo(doFn, { name: 'Sum' }));
    counting(sums, { rows: 0, total: 0 }, () => 1);
  });
const inState = await stateful(new KeyedSum());
const bareStartedMs = performance.now();
const sums = new Map<number, number>();
for (let index = 0; index < STATE_EVENTS; index += 1) {
  const event = eventOf(index);
  sums.set(event.key, (sums.get(event.key) ?? 0) + event.amount);
}
expectEqual('keys of the bare loop', sums.size, KEYS);
const bare = (STATE_EVENTS / (performance.now() - bareStartedMs)) * 1_000;
report({
  bench: BENCH,
  case: 'keyed sum in state, 1,000 keys',
  metric: 'throughput',
  value: inState,
  unit: 'elements/s',
  peer: 'bare loop',
  peerValue: bare,
});
report({
  bench: BENCH,
  case: 'stateful DoFn with a timer per key',
  metric: 'throughput',
  value: await stateful(new TimedSum()),
  unit: 'elements/s',
  floor: 300_000,
});

// --- latency at 10,000 events/s --------------------------------------------------------------------------------

const LATENCY_EVENTS = 100_000;
const PER_SECOND = 10_000;

/** Events at a steady rate, stamped with when they were made. */
class Paced implements SplittableDoFn<number, Event, OffsetRange, number> {
  readonly splittable = true;
  readonly bounded = false;
  #startedMs = 0;
  initialRestrictions(total: number): OffsetRange[] {
    return [{ from: 0, to: total }];
  }
  createTracker(range: OffsetRange): OffsetRangeTracker {
    return new OffsetRangeTracker(range);
  }
  async process(total: number, { from }: OffsetRange, tracker: OffsetRangeTracker, context: SplittableContext<Event>) {
    if (from === 0) this.#startedMs = performance.now();
    const due = (): number => Math.min(total, Math.floor(((performance.now() - this.#startedMs) / 1_000) * PER_SECOND));
    while (due() <= from) await sleep(1);
    const to = due();
    for (let index = from; index < to; index += 1) {
      const madeMs = this.#startedMs + (index / PER_SECOND) * 1_000;
      context.output({ key: index % KEYS, amount: madeMs, at: index }, eventTime(index));
    }
    context.advanceWatermark(to as EventTime);
    tracker.tryClaim(to - 1);
    return to >= total ? STOP : resumeAfter(0);
  }
}

/** Keeps a count in state, and passes on when the element was made. */
class LastOfKey implements DoFn<KV<number, Event>, number> {
  readonly count = valueState<number>('count');
  process({ value }: KV<number, Event>, context: ProcessContext<number>): void {
    const count = context.state(this.count);
    count.write((count.read() ?? 0) + 1);
    context.output(value.amount);
  }
}

const latencies: number[] = [];
await throughput(LATENCY_EVENTS, (root) => {
  root
    .apply(read(LATENCY_EVENTS, new Paced(), 'Paced'))
    .map((event) => ({ ...event }))
    .apply(keyBy((event) => event.key))
    .apply(parDo(new LastOfKey(), { name: 'Aggregate' }))
    .map((amount) => amount)
    .apply(
      parDo({ process: (madeMs: number) => void latencies.push(performance.now() - madeMs) }, { name: 'Measure' }),
    );
});
latencies.sort((a, b) => a - b);
report({
  bench: BENCH,
  case: '5 stages with a keyed aggregate, 10,000 events/s',
  metric: 'latency p99',
  value: latencies[Math.floor(latencies.length * 0.99)] as number,
  unit: 'ms',
  ceiling: 10,
});
