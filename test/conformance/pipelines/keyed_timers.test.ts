import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { keyIdOf } from '#kernel/keys/key_codec';
import { StoredTimers, timersTable } from '#pipelines/engine/operators/stored/stored_timers';
import type { SavedDue } from '#pipelines/engine/state/snapshot';
import { NO_OUTPUT_TIMESTAMP } from '#pipelines/engine/time/check_time';
import { type KeyedTimers, type PendingTimer, type SavedTimer, TimerQueue } from '#pipelines/engine/time/timer_queue';
import type { SavedHolds } from '#pipelines/engine/time/watermark_holds';
import { GLOBAL_WINDOW, Window } from '#pipelines/engine/windowing/window';
import { DiskState, readStored, type SavedStore } from '#pipelines/runner/state/disk_state';

// What timers must do wherever they are kept: each that is set fires once, in order of time, whatever is in the heap, whatever a snapshot under way holds back, and after
// restarts with either.

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyed-timers-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

type Kind = 'heap' | 'disk';
const KEYS: readonly unknown[] = ['a', 'b|c', 7, '7', -2.5, ['t', 1], { user: 'u' }, '\ud800', 'é'];
const WINDOWS = [GLOBAL_WINDOW, new Window(-10, 10), new Window(10, 20)];
/** Two keys of each queue fit in the heap. */
const CACHE_BYTES = 1_000;

interface Saved {
  readonly timers: readonly SavedTimer[];
  readonly due: readonly SavedDue[];
  readonly holds: SavedHolds;
  readonly store: SavedStore | undefined;
}

/** One set of timers in use, from its start to its end. */
class Life {
  static #started = 0;
  readonly #disk: DiskState | undefined;
  readonly timers: KeyedTimers;
  #underWay: Omit<Saved, 'store'> | undefined;
  #visit: Iterator<unknown> = [][Symbol.iterator]();

  constructor(kind: Kind, domain: 'event' | 'processing') {
    Life.#started += 1;
    const folder = join(directory, `work-${Life.#started}`);
    if (kind === 'heap') {
      this.timers = new TimerQueue(domain);
      return;
    }
    const disk = new DiskState({ folder, saved: join(directory, 'saved'), cacheBytes: CACHE_BYTES });
    this.#disk = disk;
    const table = timersTable(disk, 'T');
    this.timers = new StoredTimers(domain, disk, 'T', table);
    this.#visitOf = () => table.unsaved()[Symbol.iterator]();
  }

  #visitOf = (): Iterator<unknown> => [][Symbol.iterator]();

  async start(saved: Saved | undefined, byEntry: boolean): Promise<this> {
    const { timers } = this;
    const isUsed = saved?.store !== undefined && !byEntry && this.#disk !== undefined;
    await this.#disk?.open(isUsed ? saved?.store : undefined);
    if (saved === undefined) return this;
    if (isUsed && timers instanceof StoredTimers) {
      timers.restoreHolds(saved.holds);
      for (const due of saved.due) timers.restoreDue(due, keyIdOf);
      return this;
    }
    for (const timer of saved.timers) timers.restore(timer, keyIdOf);
    if (saved.store === undefined) return this;
    for await (const entry of readStored(join(directory, 'saved'), saved.store, 'T')) {
      const { eventTimer, processingTimer } = entry as { eventTimer?: SavedTimer; processingTimer?: SavedTimer };
      timers.restore((eventTimer ?? processingTimer) as SavedTimer, keyIdOf);
      await this.relieve();
    }
    return this;
  }

  async relieve(): Promise<void> {
    if (this.#disk?.isFull === true) await this.#disk.relieve();
  }

  begin(): void {
    this.#disk?.beginSnapshot();
    const { timers } = this;
    const isStored = timers instanceof StoredTimers;
    this.#underWay = {
      timers: [...timers.save()],
      due: isStored ? [...timers.saveDue()].map(({ due }) => due) : [],
      holds: isStored ? timers.saveHolds() : [],
    };
    this.#visit = this.#visitOf();
  }

  async finish(): Promise<Saved> {
    while (this.#visit.next().done !== true);
    return { ...(this.#underWay as Omit<Saved, 'store'>), store: await this.#disk?.keep() };
  }

  /** Fires all that is due. */
  async due(now: number): Promise<PendingTimer[]> {
    const fired: PendingTimer[] = [];
    for (;;) {
      const timer = this.timers.popDue(now, keyIdOf);
      if (timer !== undefined) fired.push(timer);
      else if (this.timers.isHungry) await this.relieve();
      else return fired;
    }
  }

  end(): Promise<void> {
    return this.#disk?.close() ?? Promise.resolve();
  }
}

type Step =
  | {
      readonly do: 'set' | 'clear';
      readonly key: number;
      readonly window: number;
      readonly tag: number;
      readonly at: number;
      readonly output: number;
    }
  | { readonly do: 'due'; readonly byMs: number }
  | { readonly do: 'bundle' | 'begin' | 'finish' }
  | { readonly do: 'restart'; readonly as: Kind; readonly byEntry: boolean };

const changes = fc.record({
  do: fc.constantFrom('set' as const, 'set' as const, 'set' as const, 'clear' as const),
  ...{ key: fc.nat(KEYS.length - 1), window: fc.nat(WINDOWS.length - 1), tag: fc.nat(1) },
  ...{ at: fc.integer({ min: -20, max: 60 }), output: fc.integer({ min: -30, max: 60 }) },
});
const steps = fc.array(
  fc.oneof<{ arbitrary: fc.Arbitrary<Step>; weight: number }[]>(
    { weight: 16, arbitrary: changes },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('due' as const), byMs: fc.integer({ min: 1, max: 12 }) }) },
    { weight: 5, arbitrary: fc.constantFrom<Step>({ do: 'bundle' }) },
    { weight: 3, arbitrary: fc.constantFrom<Step>({ do: 'begin' }, { do: 'finish' }) },
    {
      weight: 1,
      arbitrary: fc.record({
        ...{ do: fc.constant('restart' as const), as: fc.constantFrom<Kind>('heap', 'disk'), byEntry: fc.boolean() },
      }),
    },
  ),
  { minLength: 30, maxLength: 150 },
);

/** Where a timer is: its key, window and tag. */
type Oracle = Map<string, readonly [at: number, output: number]>;

const nameOf = (key: unknown, window: Window, tag: string): string =>
  `${String(keyIdOf(key))} ${typeof key} ${window.id} ${tag}`;

async function check(kind: Kind, domain: 'event' | 'processing', all: readonly Step[]): Promise<void> {
  let life = await new Life(kind, domain).start(undefined, false);
  let oracle: Oracle = new Map();
  let now = -25;
  let newest: { readonly saved: Saved; readonly oracle: Oracle } | undefined;
  let underWay: Oracle | undefined;
  const isHolding = ([at, output]: readonly [number, number]): boolean =>
    output !== NO_OUTPUT_TIMESTAMP && (domain === 'processing' || output < at);
  const checkDue = async (): Promise<void> => {
    const fired = await life.due(now);
    const wanted = [...oracle].filter(([, [at]]) => at < now || (at === now && domain === 'processing'));
    for (const [name] of wanted) oracle.delete(name);
    expect(fired.map(({ at }) => at)).toEqual([...fired.map(({ at }) => at)].sort((a, b) => a - b));
    const seen = fired.map(({ key, window, tag, at, outputTimestamp }) => [
      nameOf(key, window, tag),
      [at, outputTimestamp],
    ]);
    expect(new Map(seen as [string, [number, number]][])).toEqual(new Map(wanted));
    expect(seen.length).toBe(wanted.length);
    const times = [...oracle.values()].map(([at]) => at);
    const earliest = life.timers.nextAt() ?? Number.POSITIVE_INFINITY;
    expect(earliest).toBeLessThanOrEqual(Math.min(...times));
    const holds = [...oracle.values()].filter(isHolding).map(([, output]) => output);
    expect(life.timers.earliestHold()).toBe(Math.min(...holds));
  };
  try {
    for (const step of all) {
      switch (step.do) {
        case 'set':
        case 'clear': {
          const [key, window, tag] = [KEYS[step.key], WINDOWS[step.window] as Window, String(step.tag)];
          const output = step.output === 60 ? NO_OUTPUT_TIMESTAMP : step.output;
          const place = { window, specId: 'wake', tag };
          if (step.do === 'clear') {
            oracle.delete(nameOf(key, window, tag));
            life.timers.clear(keyIdOf(key), place, key);
          } else {
            oracle.set(nameOf(key, window, tag), [step.at, output]);
            life.timers.set(keyIdOf(key), { ...place, key, at: step.at, outputTimestamp: output });
          }
          break;
        }
        case 'due':
          now += step.byMs;
          await checkDue();
          break;
        case 'bundle':
          await life.relieve();
          break;
        case 'begin':
          if (underWay !== undefined) break;
          underWay = new Map(oracle);
          life.begin();
          break;
        case 'finish':
          if (underWay === undefined) break;
          newest = { saved: await life.finish(), oracle: underWay };
          underWay = undefined;
          break;
        case 'restart':
          if (underWay !== undefined) await life.finish();
          underWay = undefined;
          await life.end();
          life = await new Life(step.as, domain).start(newest?.saved, step.byEntry);
          oracle = new Map(newest?.oracle);
          break;
      }
    }
    now += 200;
    await checkDue();
  } finally {
    await life.end();
  }
}

describe.each(['heap', 'disk'] as const)('timers in %s', (kind) => {
  test.each(['event', 'processing'] as const)(
    'fire once each, in order of time: %s',
    async (domain) => {
      await fc.assert(
        fc.asyncProperty(steps, (all) => check(kind, domain, all)),
        { numRuns: 150 },
      );
    },
    120_000,
  );
});
