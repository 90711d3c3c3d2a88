import { eventTime } from '#kernel/time';
import { type DoFn, type ProcessContext, valueState } from '#pipelines/engine/dofn';
import {
  type RestrictionTracker,
  resumeAfter,
  type SplittableContext,
  type SplittableDoFn,
  STOP,
} from '#pipelines/engine/splittable';
import type { KV } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { keyBy, parDo, read } from '#pipelines/model/transforms';
import { runEmbedded } from '#pipelines/runner/embedded';
import { report } from './result.ts';

// A keyed running sum in state: 1,000 keys, event times out of order, against the same loop without an engine.
const EVENTS = 2_000_000;
const KEYS = 1_000;
const PIECE = 2_000;

interface Event {
  readonly key: number;
  readonly amount: number;
  readonly at: number;
}

const eventOf = (index: number): Event => ({
  key: (index * 7_919) % KEYS,
  amount: index % 100,
  at: index - (index % 13) * 3,
});

class Numbers implements SplittableDoFn<number, Event, number, number> {
  readonly splittable = true;
  readonly bounded = true;
  initialRestrictions(): number[] {
    return [0];
  }
  createTracker(from: number): RestrictionTracker<number, number> {
    let next = from;
    return {
      tryClaim(position) {
        next = position;
        return true;
      },
      checkpoint: () => next,
    };
  }
  process(total: number, from: number, tracker: RestrictionTracker<number, number>, context: SplittableContext<Event>) {
    const to = Math.min(total, from + PIECE);
    for (let index = from; index < to; index += 1) {
      const event = eventOf(index);
      context.output(event, eventTime(event.at));
    }
    context.advanceWatermark(eventTime(to - 50));
    tracker.tryClaim(to);
    return to >= total ? STOP : resumeAfter(0);
  }
}

class KeyedSum implements DoFn<KV<number, Event>, number> {
  readonly sum = valueState<number>('sum');
  process({ value }: KV<number, Event>, context: ProcessContext<number>): void {
    const sum = context.state(this.sum);
    const next = (sum.read() ?? 0) + value.amount;
    sum.write(next);
    context.output(next);
  }
}

let outputs = 0;
const countOutput = (): void => {
  outputs += 1;
};
const plan = createPipeline((root) => {
  root
    .apply(read(EVENTS, new Numbers(), 'Numbers'))
    .apply(keyBy((event) => event.key))
    .apply(parDo(new KeyedSum(), { name: 'Sum' }))
    .apply(parDo({ process: countOutput }, { name: 'Count' }));
});
const startedMs = performance.now();
await runEmbedded(plan).finished;
const engine = (EVENTS / (performance.now() - startedMs)) * 1_000;
if (outputs !== EVENTS) throw new Error(`${outputs} outputs for ${EVENTS} events`);

const bareStartedMs = performance.now();
const sums = new Map<number, number>();
let bareOutputs = 0;
for (let index = 0; index < EVENTS; index += 1) {
  const event = eventOf(index);
  sums.set(event.key, (sums.get(event.key) ?? 0) + event.amount);
  bareOutputs += 1;
}
const bare = (bareOutputs / (performance.now() - bareStartedMs)) * 1_000;

report({
  bench: 'engine',
  case: 'keyed sum in state, 1,000 keys',
  metric: 'throughput',
  value: engine,
  unit: 'events/s',
  peer: 'bare loop',
  peerValue: bare,
  floor: 500_000,
});
