import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { DefaultDeserializer, deserialize } from 'node:v8';
import type { RestoredTransform, SavedTransform } from '#pipelines/engine/executor';
import type { SavedStore } from './state/disk_state.ts';

/** Bumped when the layout of a snapshot file changes, or what its parts hold. */
export const SNAPSHOT_FORMAT = 'headwater-snapshot-5';
/** The same layout, with keys that were assigned to threads otherwise. */
const PREVIOUS_FORMAT = 'headwater-snapshot-4';
const LONGEST_FORMAT = 64;
export const LENGTH_BYTES = 4;
/** Before a batch: its transform, how many entries, how many bytes. */
export const BATCH_HEADER_BYTES = 12;
/** In place of a transform, before the reference to the store that holds the state of DoFns. */
export const STORE_PART = 0xffff_ffff;
const HASH_BYTES = 32;
/** What is hashed at once. */
const PIECE_BYTES = 1_024 * 1_024;

export interface LoadedSnapshot {
  readonly sequence: number;
  /** Worker threads that have a part of it, in files of their own. */
  readonly shards: number;
  /** How many groups keys were assigned to those threads by; undefined in snapshots of earlier releases. */
  readonly keyGroups: number | undefined;
  /** What a store beside the file holds is not among the entries, but in {@link RestoredTransform.stored}. */
  readonly transforms: readonly RestoredTransform[];
  readonly store?: SavedStore | undefined;
}

export interface SavedHeads {
  readonly shards: number;
  readonly keyGroups?: number;
  readonly transforms: readonly SavedTransform[];
}

/** Where a batch of entries is in its file. */
interface Batch {
  readonly at: number;
  readonly bytes: number;
  readonly count: number;
}

/**
 * Reads a snapshot's heads and checks all of it. Its entries are read from the file each time they are visited, batch by batch, so that a snapshot may be larger than
 * memory or than a buffer.
 *
 * @throws Error when it is damaged, cut short or of another format
 */
export async function readSnapshotFile(path: string): Promise<Omit<LoadedSnapshot, 'sequence'>> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const beginning = await readAt(handle, 0, Math.min(size, LONGEST_FORMAT));
    const end = beginning.indexOf(0x0a);
    if (end < 0) throw new Error('it has no header');
    const format = beginning.toString('utf8', 0, end);
    if (format !== SNAPSHOT_FORMAT && format !== PREVIOUS_FORMAT) {
      throw new Error(`its format is ${format.slice(0, 40)}, this version reads ${SNAPSHOT_FORMAT}`);
    }
    await checkHash(handle, size);
    const headsAt = end + 1 + LENGTH_BYTES;
    const headsBytes = (await readAt(handle, end + 1, LENGTH_BYTES)).readUInt32BE();
    const heads = deserialize(await readAt(handle, headsAt, headsBytes)) as SavedHeads;
    const batches: Batch[][] = heads.transforms.map(() => []);
    const store: Batch[] = [];
    for (let at = headsAt + headsBytes; at < size - HASH_BYTES; ) {
      const header = await readAt(handle, at, BATCH_HEADER_BYTES);
      const bytes = header.readUInt32BE(2 * LENGTH_BYTES);
      const part = header.readUInt32BE();
      (part === STORE_PART ? store : (batches[part] as Batch[])).push({
        at: at + BATCH_HEADER_BYTES,
        bytes,
        count: header.readUInt32BE(LENGTH_BYTES),
      });
      at += BATCH_HEADER_BYTES + bytes;
    }
    const transforms = heads.transforms.map((head, index) => ({
      ...head,
      entries: { [Symbol.iterator]: () => entriesOf(path, batches[index] as Batch[]) },
    }));
    const [reference] = entriesOf(path, store);
    return { shards: heads.shards, keyGroups: heads.keyGroups, transforms, store: reference as SavedStore | undefined };
  } finally {
    await handle.close();
  }
}

async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(length), 0, length, position);
  if (bytesRead < length) throw new Error('it is cut short');
  return buffer;
}

async function checkHash(handle: FileHandle, size: number): Promise<void> {
  const hash = createHash('sha256');
  const end = size - HASH_BYTES;
  for (let at = 0; at < end; at += PIECE_BYTES) {
    hash.update(await readAt(handle, at, Math.min(PIECE_BYTES, end - at)));
  }
  if (size < HASH_BYTES || !hash.digest().equals(await readAt(handle, end, HASH_BYTES))) {
    throw new Error('its checksum does not match: it is damaged or cut short');
  }
}

function* entriesOf(path: string, batches: readonly Batch[]): Generator<unknown> {
  if (batches.length === 0) return;
  const file = openSync(path, 'r');
  try {
    for (const { at, bytes, count } of batches) {
      const buffer = Buffer.allocUnsafe(bytes);
      if (readSync(file, buffer, 0, bytes, at) < bytes) throw new Error(`${path} is cut short`);
      const deserializer = new DefaultDeserializer(buffer);
      deserializer.readHeader();
      for (let left = count; left > 0; left -= 1) yield deserializer.readValue();
    }
  } finally {
    closeSync(file);
  }
}
