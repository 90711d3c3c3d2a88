import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { eventTime } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import {
  bagState,
  combiningState,
  type DoFn,
  eventTimer,
  mapState,
  multimapState,
  type OnTimerContext,
  orderedListState,
  type ProcessContext,
  processingTimer,
  setState,
  type TimerSpec,
  valueState,
} from '#pipelines/engine/dofn';
import { type OffsetRange, OffsetRangeTracker } from '#pipelines/engine/splitting/offset_range';
import { resumeAfter, type SplittableContext, type SplittableDoFn, STOP } from '#pipelines/engine/splitting/splittable';
import type { Construct } from '#pipelines/model/graph';
import { combinePerKey, groupByKey } from '#pipelines/model/grouping';
import type { KV, PCollection } from '#pipelines/model/pcollection';
import { createPipeline } from '#pipelines/model/pipeline';
import { asSingleton } from '#pipelines/model/side_inputs';
import { filter, keyBy, parDo, read, windowInto } from '#pipelines/model/transforms';
import { fixedWindows, globalWindows, sessions, slidingWindows } from '#pipelines/model/windows/windowing';
import { runEmbedded } from '#pipelines/runner/embedded';
import { loadWhole } from '#pipelines/runner/snapshot_parts';
import { type LoadedSnapshot, SnapshotStore } from '#pipelines/runner/snapshot_store';
import type { StateOptions } from '#pipelines/runner/state_options';
import { takeOverState } from '#pipelines/runner/take_over';
import { inProcessShards } from '#pipelines/testing/in_process_shards';
import { count, sum } from '#pipelines/transforms/standard/combiners';
import { reify } from '#pipelines/transforms/standard/reify';

// A snapshot of any number of threads restores on any other: what comes out is what one thread gives that never stops.

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rescale-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const TOTAL = 240;
const PIECE = 8;

/** 0 … TOTAL - 1 at 100 ms each, a piece at a time, with some disorder inside a piece. `pausesAt` never ends before it is stopped. */
class Numbers implements SplittableDoFn<number, number, OffsetRange, number> {
  readonly splittable = true;
  readonly bounded = false;
  readonly #pausesAt: number;
  readonly #onPause: () => void;
  constructor(pausesAt: number, onPause: () => void) {
    this.#pausesAt = pausesAt;
    this.#onPause = onPause;
  }
  initialRestrictions(total: number): OffsetRange[] {
    return [{ from: 0, to: total }];
  }
  createTracker(range: OffsetRange): OffsetRangeTracker {
    return new OffsetRangeTracker(range);
  }
  async process(total: number, { from }: OffsetRange, tracker: OffsetRangeTracker, context: SplittableContext<number>) {
    await new Promise((resolve) => setImmediate(resolve));
    if (from >= this.#pausesAt) {
      this.#onPause();
      return resumeAfter(5);
    }
    const to = Math.min(total, from + PIECE);
    for (let at = to - 1; at >= from; at -= 1) context.output(at, eventTime(at * 100));
    context.advanceWatermark(eventTime(to * 100));
    tracker.tryClaim(to - 1);
    return to >= total ? STOP : resumeAfter(0);
  }
}

const KEYS: readonly unknown[] = ['a', 'b|c', 'ö', 'user:u1', 7, 2.5, ['t', 1], ['t', 2], true, 'z', 'y', 'x'];
const keyOf = (value: number): unknown => KEYS[(value * 7) % KEYS.length];

/** What is kept of an output, by what identifies it: an output that comes again takes the place of its first. */
type Sink = Map<string, unknown>;

/** Every kind of state and timer, by key. */
class EveryState implements DoFn<KV<unknown, number>, string> {
  readonly total = valueState<number>('total');
  readonly all = bagState<number>('all');
  readonly distinct = setState<number>('distinct');
  readonly counts = mapState<number, number>('counts');
  readonly most = combiningState('most', sum());
  readonly later = eventTimer('later');
  readonly soon = processingTimer('soon');
  process({ key, value }: KV<unknown, number>, context: ProcessContext<string>): void {
    const total = context.state(this.total);
    total.write((total.read() ?? 0) + value);
    context.state(this.all).add(value);
    context.state(this.distinct).add(value % 5);
    const counts = context.state(this.counts);
    counts.put(value % 3, (counts.get(value % 3) ?? 0) + 1);
    context.state(this.most).add(value);
    context.timer(this.later).set(value * 100 + 3_000, { tag: String(value % 4) });
    context.timer(this.soon).setAfter(30);
    context.output(JSON.stringify(['state', key, value]));
  }
  onTimer(timer: TimerSpec, context: OnTimerContext<string, unknown>): void {
    if (timer.id === 'soon') return;
    const held = [...context.state(this.all).read()]
      .sort((a, b) => a - b)
      .filter((value) => value * 100 <= context.firedAt);
    context.output(JSON.stringify(['timer', context.key, context.firedAt, context.timerTag, held.length]));
  }
}

/** The last of each key, when all has come. */
class AtTheEnd implements DoFn<KV<unknown, number>, string> {
  readonly total = valueState<number>('total');
  readonly distinct = setState<number>('distinct');
  readonly counts = mapState<number, number>('counts');
  readonly byRest = multimapState<number, number>('by rest');
  readonly inOrder = orderedListState<number>('in order');
  readonly end = eventTimer('end');
  process({ value }: KV<unknown, number>, context: ProcessContext<string>): void {
    const total = context.state(this.total);
    total.write((total.read() ?? 0) + value);
    context.state(this.distinct).add(value % 5);
    const counts = context.state(this.counts);
    counts.put(value % 3, (counts.get(value % 3) ?? 0) + 1);
    context.state(this.byRest).put(value % 4, value);
    context.state(this.inOrder).add(context.timestamp, value);
    context.timer(this.end).set(TOTAL * 100 + 10);
  }
  onTimer(_: TimerSpec, context: OnTimerContext<string, unknown>): void {
    const counts = [...context.state(this.counts).entries()].sort(([a], [b]) => a - b);
    const distinct = [...context.state(this.distinct).read()].sort();
    const byRest = [...context.state(this.byRest).entries()].sort(([, a], [, b]) => a - b);
    const inOrder = [...context.state(this.inOrder).readRange(eventTime(0), eventTime(TOTAL * 100))].map(
      ([at, value]) => at - value * 100,
    );
    context.output(
      JSON.stringify(['end', context.key, context.state(this.total).read(), distinct, counts, byRest, inOrder]),
    );
  }
}

/** Says what each element came after; those of the last two seconds wait. */
class Following implements DoFn<KV<unknown, number>, string> {
  readonly requiresTimeSortedInput = true;
  readonly before = valueState<number>('before');
  process({ key, value }: KV<unknown, number>, context: ProcessContext<string>): void {
    const before = context.state(this.before);
    context.output(JSON.stringify(['after', key, value, before.read() ?? null]));
    before.write(value);
  }
}

const into = (values: PCollection<string>, sink: Sink, name: string): unknown =>
  values.apply(parDo({ process: (text: string) => void sink.set(text, true) } as DoFn<string, never>, { name }));

const pipeline =
  (sink: Sink, pausesAt: number, onPause: () => void): Construct =>
  (root) => {
    const numbers = root.apply(read(TOTAL, new Numbers(pausesAt, onPause), 'Numbers'));
    const keyed = numbers.apply(keyBy(keyOf, 'ByKey'));
    into(keyed.apply(parDo(new EveryState(), { name: 'EveryState' })), sink, 'States');
    into(keyed.apply(parDo(new AtTheEnd(), { name: 'AtTheEnd' })), sink, 'Ends');
    into(
      keyed
        .apply(windowInto({ windowFn: fixedWindows(8), allowedLatenessMs: 2_000 }, 'Of eight seconds'))
        .apply(parDo(new Following(), { name: 'Following' }))
        .apply(windowInto({ windowFn: globalWindows() }, 'All that follow')),
      sink,
      'Followers',
    );
    const told = (kind: string, results: PCollection<KV<unknown, unknown>>) =>
      into(
        results
          .apply(reify(`${kind} times`))
          .apply(filter(({ pane }) => kind === 'early' || pane.timing === 'ON_TIME', `${kind} on time`))
          .map(({ value: { key, value }, window }) => {
            const of = Array.isArray(value) ? [...value].sort((a, b) => a - b) : value;
            return JSON.stringify([kind, key, window, of]);
          }),
        sink,
        kind,
      );
    told(
      'sessions',
      keyed.apply(windowInto({ windowFn: sessions(1.5) }, 'Sessions')).apply(groupByKey('GroupSessions')),
    );
    told(
      'sliding',
      keyed
        .apply(windowInto({ windowFn: slidingWindows(4, 1) }, 'Sliding'))
        .apply(combinePerKey(sum(), { name: 'Sum' })),
    );
    told(
      'early',
      keyed
        .apply(
          windowInto(
            {
              windowFn: fixedWindows(5),
              accumulation: 'accumulating',
              trigger: { kind: 'afterEndOfWindow', early: { kind: 'afterProcessingTime', delayMs: 3 } },
            },
            'Early',
          ),
        )
        .apply(combinePerKey(count<number>(), { name: 'Count' })),
    );
    // What waits for its side input waits in the snapshot.
    const totals = numbers
      .apply(windowInto({ windowFn: fixedWindows(6) }, 'Of six seconds'))
      .apply(keyBy(() => 'all', 'Together'))
      .apply(combinePerKey(sum(), { name: 'Totals' }))
      .map(({ value }) => value);
    const total = asSingleton(totals, 0);
    const shares = keyed
      .apply(windowInto({ windowFn: fixedWindows(6) }, 'With totals'))
      .apply(combinePerKey(sum(), { name: 'Parts' }))
      .apply(
        parDo(
          {
            process({ key, value }: KV<unknown, number>, context: ProcessContext<string>): void {
              context.output(JSON.stringify(['share', key, context.window.start, value, context.sideInput(total)]));
            },
          } as DoFn<KV<unknown, number>, string>,
          { name: 'Shares', sideInputs: { total } },
        ),
      )
      .apply(windowInto({ windowFn: globalWindows() }, 'All'));
    into(shares, sink, 'WriteShares');
  };

type State = StateOptions['kind'];
/** So small that hardly a key stays in the heap. */
const options = (kind: State): StateOptions => (kind === 'heap' ? { kind } : { kind, cacheBytes: 3_000 });

async function run(sink: Sink, threads: number, pausesAt: number, kills: boolean, state: State): Promise<void> {
  let onPause = (): void => {};
  const paused = new Promise<void>((resolve) => {
    onPause = resolve;
  });
  const construct = pipeline(sink, pausesAt, () => onPause());
  const handle = runEmbedded(createPipeline(construct), {
    ...(threads === 0 ? {} : { shards: { count: threads, launch: inProcessShards(construct) } }),
    ...{ snapshots: { directory, intervalMs: 0 }, maxRetries: 0, state: options(state) },
  });
  if (pausesAt > TOTAL) return handle.finished;
  await Promise.race([paused, handle.finished]);
  if (kills) await handle.cancel();
  else await handle.stop();
}

/** Of panes that processing time has cut, the last holds them all. */
function sorted(sink: Sink): readonly string[] {
  const last = new Map<string, number>();
  const others: string[] = [];
  for (const text of sink.keys()) {
    const [kind, key, window, held] = JSON.parse(text) as [string, unknown, unknown, number];
    if (kind !== 'early') {
      others.push(text);
      continue;
    }
    const of = JSON.stringify([kind, key, window]);
    last.set(of, Math.max(held, last.get(of) ?? 0));
  }
  return [...others, ...[...last].map(([of, held]) => `${of} ${held}`)].sort();
}

let whole: readonly string[] | undefined;
async function expected(): Promise<readonly string[]> {
  if (whole !== undefined) return whole;
  const sink: Sink = new Map();
  const folder = directory;
  directory = join(folder, 'oracle');
  await run(sink, 0, Number.POSITIVE_INFINITY, false, 'heap');
  directory = folder;
  whole = sorted(sink);
  return whole;
}

interface Part {
  readonly threads: number;
  readonly until: number;
  readonly kills: boolean;
  readonly state: State;
}

async function check(parts: readonly Part[], last: number, lastState: State): Promise<void> {
  const oracle = await expected();
  rmSync(join(directory, 'snapshots'), { recursive: true, force: true });
  const folder = directory;
  directory = join(folder, 'snapshots');
  try {
    const sink: Sink = new Map();
    for (const { threads, until, kills, state } of parts) await run(sink, threads, until, kills, state);
    await run(sink, last, Number.POSITIVE_INFINITY, false, lastState);
    expect(sorted(sink)).toEqual(oracle);
    const shards = readdirSync(directory).filter((name) => name.startsWith('shard-'));
    expect(shards.length).toBeLessThanOrEqual(Math.max(last, ...parts.map(({ threads }) => threads)));
  } finally {
    directory = folder;
  }
}

const STATES: readonly State[] = ['heap', 'disk'];

test.each(STATES.flatMap((state) => [true, false].map((kills) => ({ state, kills }))))(
  '1 thread, then 4, then 2, state on the $state (killed: $kills): every output is that of one thread which never stops',
  ({ state, kills }) =>
    check(
      [
        { threads: 1, until: 80, kills, state },
        { threads: 4, until: 160, kills, state },
      ],
      2,
      state,
    ),
);

test('any numbers of threads one after another, with state in the heap or on disk, drained or killed anywhere, give what one thread gives', async () => {
  const part = fc.record({
    ...{ threads: fc.integer({ min: 0, max: 5 }), until: fc.integer({ min: 0, max: TOTAL - 1 }), kills: fc.boolean() },
    state: fc.constantFrom(...STATES),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(part, { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 0, max: 5 }),
      fc.constantFrom(...STATES),
      (parts, last, state) =>
        check(
          [...parts].sort((a, b) => a.until - b.until),
          last,
          state,
        ),
    ),
    { numRuns: 12 },
  );
}, 120_000);

test.each(STATES)(
  'state on the %s that a job of 3 threads has computed is taken over by a job of 2, which resumes with 4',
  async (state) => {
    const oracle = await expected();
    const [stream, backfill, sink] = [join(directory, 'stream'), join(directory, 'backfill'), new Map() as Sink];
    const inFolder = async (folder: string, threads: number, until: number): Promise<void> => {
      const outer = directory;
      directory = folder;
      await run(sink, threads, until, false, state);
      directory = outer;
    };
    await inFolder(stream, 2, 80);
    await inFolder(backfill, 3, 80);
    const saved = await new SnapshotStore(backfill, silentLogger).load();
    const { transforms } = await loadWhole(backfill, silentLogger, saved as LoadedSnapshot);
    const names = [...new Set(transforms.map(({ name }) => name))].filter((name) => /AtTheEnd|EveryState/.test(name));
    const keyed = names.filter((name) => transforms.some((one) => one.name === name && one.hasState));
    expect(await takeOverState({ into: stream, from: backfill }, keyed, silentLogger)).toBe(2 * KEYS.length);
    await inFolder(stream, 4, Number.POSITIVE_INFINITY);
    expect(sorted(sink)).toEqual(oracle);
  },
);

test('files of threads that a job does not run any more are removed once no snapshot needs them', async () => {
  const sink: Sink = new Map();
  await run(sink, 4, 80, false, 'heap');
  expect(readdirSync(directory).filter((name) => name.startsWith('shard-'))).toHaveLength(4);
  await run(sink, 1, Number.POSITIVE_INFINITY, false, 'heap');
  expect(readdirSync(directory).filter((name) => name.startsWith('shard-'))).toEqual(['shard-0']);
  expect(existsSync(join(directory, 'shard-3'))).toBe(false);
});
