import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { keyIdOf } from '#kernel/keys/key_codec';
import { type EventTime, eventTime } from '#kernel/time';
import type {
  BagState,
  CombiningState,
  MapState,
  OrderedListState,
  SetState,
  StateKind,
  ValueState,
} from '#pipelines/engine/dofn';
import { type Cells, createAccessor, type OperatorState, type SavedKey } from '#pipelines/engine/operators/keyed_state';
import { heapBackend, type StateBackend } from '#pipelines/engine/operators/state_backend';
import { GLOBAL_WINDOW, Window } from '#pipelines/engine/windowing/window';
import { DiskState, readStored, type SavedStore } from '#pipelines/runner/state/disk_state';
import { sum } from '#pipelines/transforms/standard/combiners';

// What every state backend must do: hold cells by key and window, whatever is in memory; take snapshots of a moment while calls go on; restore those of any backend.

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'state-backends-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const KINDS: readonly StateKind[] = ['value', 'bag', 'set', 'map', 'multimap', 'combining', 'orderedList'];
const KEYS: readonly unknown[] = ['a', 'b|c', 7, '7', -2.5, ['t', 1], { user: 'u', at: 3n }, true, new Uint8Array([1])];
const WINDOWS = [
  GLOBAL_WINDOW,
  new Window(0 as EventTime, 10 as EventTime),
  new Window(10 as EventTime, 20 as EventTime),
];

const clone = <T>(value: T): T => deserialize(serialize(value)) as T;

/** A snapshot of one DoFn's state. */
interface Saved {
  readonly entries: readonly SavedKey[];
  readonly store: SavedStore | undefined;
}

type Kind = 'heap' | 'disk, everything cached' | 'disk, hardly anything cached';
const BACKENDS: readonly Kind[] = ['heap', 'disk, everything cached', 'disk, hardly anything cached'];

/** One backend in use, from its start to its end. */
class Life {
  static #started = 0;
  readonly #disk: DiskState | undefined;
  readonly backend: StateBackend;
  readonly state: OperatorState;
  #entries: SavedKey[] = [];
  #visit: Iterator<SavedKey | undefined> | undefined;

  private constructor(kind: Kind) {
    Life.#started += 1;
    const folder = join(directory, `work-${Life.#started}`);
    const cacheBytes = kind === 'disk, everything cached' ? 1e9 : 2_000;
    this.#disk = kind === 'heap' ? undefined : new DiskState({ folder, saved: join(directory, 'saved'), cacheBytes });
    this.backend = this.#disk ?? heapBackend;
    this.state = this.backend.cellsOf({ transform: 'Stateful', slots: KINDS.length, beforeSave: [] });
  }

  /** @param byEntry - restores entry by entry also where the store could be used as it is */
  static async start(kind: Kind, saved?: Saved, byEntry = false): Promise<Life> {
    const life = new Life(kind);
    const usable = byEntry ? undefined : saved?.store;
    await life.#disk?.open(usable);
    const stored = saved?.store;
    if (saved === undefined) return life;
    for (const entry of saved.entries) life.state.restore(clone(entry));
    if (stored === undefined || (life.#disk !== undefined && usable !== undefined)) return life;
    for await (const entry of readStored(join(directory, 'saved'), stored, 'Stateful')) {
      life.state.restore((entry as { readonly key: SavedKey }).key);
    }
    return life;
  }

  begin(): void {
    this.#disk?.beginSnapshot();
    this.#entries = [];
    this.state.beginSnapshot((entry) => this.#entries.push(clone(entry as SavedKey)));
    this.#visit = this.state.unsaved()[Symbol.iterator]();
  }

  /** @returns whether there are no more */
  step(): boolean {
    const next = this.#visit?.next();
    if (next === undefined || next.done === true) return true;
    if (next.value !== undefined) this.#entries.push(clone(next.value));
    return false;
  }

  async finish(): Promise<Saved> {
    while (!this.step());
    this.state.endSnapshot();
    this.#visit = undefined;
    return { entries: this.#entries, store: await this.#disk?.keep() };
  }

  async end(): Promise<void> {
    await this.#disk?.close();
  }
}

interface Call {
  readonly do: 'call';
  readonly key: number;
  readonly window: number;
  readonly slot: number;
  readonly value: number;
  readonly clears: boolean;
}
type Step =
  | Call
  | { readonly do: 'bundle' | 'begin' | 'finish' }
  | { readonly do: 'visit'; readonly entries: number }
  | { readonly do: 'restart'; readonly as: Kind; readonly byEntry: boolean };

const steps = fc.array(
  fc.oneof(
    {
      weight: 12,
      arbitrary: fc.record({
        ...{ do: fc.constant('call' as const), key: fc.nat(KEYS.length - 1), window: fc.nat(WINDOWS.length - 1) },
        ...{ slot: fc.nat(KINDS.length - 1), value: fc.nat(5), clears: fc.boolean() },
      }),
    },
    { weight: 3, arbitrary: fc.constant<Step>({ do: 'bundle' }) },
    { weight: 2, arbitrary: fc.constant<Step>({ do: 'begin' }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('visit' as const), entries: fc.nat(6) }) },
    { weight: 2, arbitrary: fc.constant<Step>({ do: 'finish' }) },
    {
      weight: 1,
      arbitrary: fc.record({
        ...{ do: fc.constant('restart' as const), as: fc.constantFrom(...BACKENDS), byEntry: fc.boolean() },
      }),
    },
  ),
  { minLength: 20, maxLength: 120 },
);

/** Cells by key and window, as plain as can be. */
type Oracle = Map<string, Cells>;

/** Calls one accessor, as a DoFn would; returns what it reads before and after. */
function use(cells: Cells, slot: number, { value, clears }: Call, changed: () => void): unknown {
  const kind = KINDS[slot] as StateKind;
  const combineFn = kind === 'combining' ? (sum() as never) : undefined;
  const accessor = createAccessor({ id: kind, kind, combineFn }, slot, { cells, changed });
  const read = (): unknown => {
    if (kind === 'map' || kind === 'multimap') return clone([...(accessor as MapState<unknown, unknown>).entries()]);
    if (kind === 'orderedList') {
      return clone((accessor as OrderedListState<unknown>).readRange(eventTime(0), eventTime(100)));
    }
    return clone((accessor as ValueState<unknown>).read());
  };
  const before = read();
  if (clears && value < 4) (accessor as ValueState<unknown>).clear();
  else if (kind === 'value') {
    const held = (accessor as ValueState<{ total: number }>).read() ?? { total: 0 };
    // Changed in place: a snapshot must have it as it was.
    held.total += value;
    (accessor as ValueState<{ total: number }>).write(held);
  } else if (kind === 'bag') (accessor as BagState<number>).add(value);
  else if (kind === 'combining') (accessor as CombiningState<number, number>).add(value);
  else if (kind === 'orderedList') (accessor as OrderedListState<string>).add(eventTime(value), `at ${value}`);
  else if (kind === 'set') {
    if (clears) (accessor as SetState<number>).remove(value);
    else (accessor as SetState<number>).add(value);
  } else if (clears) (accessor as MapState<number, number>).remove(value);
  else (accessor as MapState<number, number>).put(value, value);
  return [before, read()];
}

async function check(kind: Kind, all: readonly Step[]): Promise<void> {
  let life = await Life.start(kind);
  let oracle: Oracle = new Map();
  let newest: { readonly saved: Saved; readonly oracle: Oracle } | undefined;
  let underWay: Oracle | undefined;
  /** @returns what the call reads in the backend, and in the oracle */
  const call = (one: Call): readonly [unknown, unknown] => {
    const [key, window] = [KEYS[one.key], WINDOWS[one.window] as Window];
    const keyId = keyIdOf(key);
    const cells = life.state.cells(key, keyId, window);
    const seen = use(cells, one.slot, one, () => life.state.changed?.(keyId, window, one.slot));
    life.state.dropIfEmpty(keyId, window, cells);
    const at = `${one.key} ${window.id}`;
    const plain = oracle.get(at) ?? KINDS.map(() => undefined);
    const wanted = use(plain, one.slot, one, () => {});
    if (plain.every((cell) => cell === undefined)) oracle.delete(at);
    else oracle.set(at, plain);
    return [seen, wanted];
  };
  try {
    for (const step of all) {
      switch (step.do) {
        case 'call': {
          const [seen, wanted] = call(step);
          expect(seen).toEqual(wanted);
          break;
        }
        case 'bundle':
          if (life.backend.isFull) await life.backend.relieve();
          break;
        case 'begin':
          if (underWay !== undefined) break;
          underWay = clone(oracle);
          life.begin();
          break;
        case 'visit':
          for (let left = underWay === undefined ? 0 : step.entries; left > 0; left -= 1) life.step();
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
          life = await Life.start(step.as, newest?.saved, step.byEntry);
          oracle = newest === undefined ? new Map() : clone(newest.oracle);
          break;
      }
    }
    for (const [key] of KEYS.entries()) {
      for (const [window] of WINDOWS.entries()) {
        for (const [slot] of KINDS.entries()) {
          const [seen, wanted] = call({ do: 'call', key, window, slot, value: 1, clears: false });
          expect(seen).toEqual(wanted);
        }
      }
    }
  } finally {
    await life.end();
  }
}

describe.each(BACKENDS)('%s', (kind) => {
  test('holds what plain maps hold, through bundles, snapshots and restarts with any backend', async () => {
    await fc.assert(
      fc.asyncProperty(steps, (all) => check(kind, all)),
      { numRuns: 300 },
    );
  }, 120_000);

  test('a snapshot has nothing of what changes after it began, however little fits in the heap', async () => {
    const total = 200;
    const add = async (life: Life): Promise<void> => {
      for (let key = 0; key < total; key += 1) {
        const cells = life.state.cells(key, key, GLOBAL_WINDOW);
        use(cells, 1, { do: 'call', key, window: 0, slot: 1, value: 3, clears: false }, () =>
          life.state.changed?.(key, GLOBAL_WINDOW, 1),
        );
        life.state.dropIfEmpty(key, GLOBAL_WINDOW, cells);
        if (life.backend.isFull) await life.backend.relieve();
      }
    };
    const life = await Life.start(kind);
    await add(life);
    life.begin();
    for (let visited = 0; visited < total / 2; visited += 1) life.step();
    await add(life);
    const saved = await life.finish();
    await add(life);
    await life.end();
    const resumed = await Life.start(kind, saved);
    for (let key = 0; key < total; key += 1) expect(resumed.state.cells(key, key, GLOBAL_WINDOW)[1]).toEqual([3]);
    await resumed.end();
  });

  test('forgets keys that cleared their state', async () => {
    const life = await Life.start(kind);
    for (let key = 0; key < 500; key += 1) {
      for (const clears of [false, true]) {
        const cells = life.state.cells(key, key, GLOBAL_WINDOW);
        use(cells, 1, { do: 'call', key, window: 0, slot: 1, value: 3, clears }, () =>
          life.state.changed?.(key, GLOBAL_WINDOW, 1),
        );
        life.state.dropIfEmpty(key, GLOBAL_WINDOW, cells);
      }
      if (life.backend.isFull) await life.backend.relieve();
    }
    life.begin();
    const { entries, store } = await life.finish();
    const stored: unknown[] = [...entries];
    if (store !== undefined) {
      for await (const entry of readStored(join(directory, 'saved'), store, 'Stateful')) stored.push(entry);
    }
    expect(stored).toEqual([]);
    await life.end();
  });
});
