import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { open } from 'lmdb';
import { report } from '../tools/result.ts';

// The two embedded stores that state on disk could have, on what it does with one (docs/adr/0030): CPU an operation, by all threads.
const KEYS = Number(process.env.STORE_KEYS ?? 500_000);
const OPERATIONS = 200_000;
const BATCH = 4_096;
const VALUE = 'x'.repeat(100);
const keyOf = (index: number): string => `0000:${(index * 7_919) % KEYS}`;

interface Store {
  readonly name: string;
  get(key: string): string | undefined;
  putAll(keys: readonly string[]): void | Promise<void>;
  close(): Promise<void>;
}

async function openLevel(folder: string): Promise<Store> {
  const db = new ClassicLevel(folder, { compression: false, writeBufferSize: 16 * 1_024 * 1_024 });
  await db.open();
  return {
    name: 'classic-level',
    get: (key) => db.getSync(key),
    putAll(keys) {
      const batch = db.batch();
      for (const key of keys) batch.put(key, VALUE);
      return batch.write();
    },
    close: () => db.close(),
  };
}

async function openLmdb(folder: string): Promise<Store> {
  const db = open<string, string>({ path: folder, noSync: true, encoding: 'string', compression: false });
  return {
    name: 'lmdb',
    get: (key) => db.get(key),
    putAll(keys) {
      db.transactionSync(() => {
        for (const key of keys) db.putSync(key, VALUE);
      });
    },
    close: () => db.close(),
  };
}

async function cpuOf(operations: number, work: () => void | Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / operations;
}

async function putRange(store: Store, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += BATCH) {
    await store.putAll(Array.from({ length: Math.min(BATCH, to - at) }, (_, index) => keyOf(at + index)));
  }
}

const times = new Map<string, Map<string, number>>();
for (const openStore of [openLmdb, openLevel]) {
  const folder = mkdtempSync(join(tmpdir(), 'bench-stores-'));
  const store = await openStore(folder);
  try {
    const measured = new Map<string, number>();
    measured.set('load', await cpuOf(KEYS, () => putRange(store, 0, KEYS)));
    measured.set(
      'read at random',
      await cpuOf(OPERATIONS, () => {
        for (let index = 0; index < OPERATIONS; index += 1) {
          if (store.get(keyOf(index * 31)) !== VALUE) throw new Error(`${store.name} has lost ${keyOf(index * 31)}`);
        }
      }),
    );
    measured.set('write at random', await cpuOf(OPERATIONS, () => putRange(store, 0, OPERATIONS)));
    times.set(store.name, measured);
  } finally {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
for (const [metric, value] of times.get('classic-level') ?? []) {
  report({
    ...{ bench: 'stores', case: `classic-level, ${KEYS.toLocaleString('en')} keys of 100 bytes`, metric, value },
    ...{ unit: 'µs of CPU', peer: 'lmdb', peerValue: times.get('lmdb')?.get(metric) ?? Number.NaN },
  });
}
