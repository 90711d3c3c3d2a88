import { createHash } from 'node:crypto';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { LIST_NAME } from '#pipelines/archive/archive_list';
import { readCheckedJson, writeCheckedJson } from '#storage/checked_json';

// Positions of Kafka name the topic's id, so that a topic which was created again is not read from the old position. A restored topic has the same records at the same
// offsets under another id: positions in restored files get that one.

const PIECE_BYTES = 4 * 1_024 * 1_024;
const HASH_BYTES = 32;
const SNAPSHOT = /(?:^|\/)snapshot-\d{12}\.bin$/;

/** Replaces ids in the snapshots below a folder. Ids have one length: no other byte moves, and the checksum at the end is computed anew. */
export async function renameInSnapshots(folder: string, ids: ReadonlyMap<string, string>): Promise<void> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  for (const name of names.filter((path) => SNAPSHOT.test(path))) await renameInSnapshot(join(folder, name), ids);
}

async function renameInSnapshot(path: string, ids: ReadonlyMap<string, string>): Promise<void> {
  const longest = Math.max(...[...ids.keys()].map((id) => id.length));
  const handle = await open(path, 'r+');
  try {
    const end = (await handle.stat()).size - HASH_BYTES;
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    // Pieces overlap by what an id may lack at the end of one.
    for (let at = 0; at < end; at += PIECE_BYTES - longest + 1) {
      const { bytesRead } = await handle.read(piece, 0, Math.min(PIECE_BYTES, end - at), at);
      const read = piece.subarray(0, bytesRead);
      for (const [before, now] of ids) {
        for (let found = read.indexOf(before); found >= 0; found = read.indexOf(before, found + before.length)) {
          await handle.write(now, at + found, 'latin1');
        }
      }
    }
    const hash = createHash('sha256');
    for (let at = 0; at < end; at += PIECE_BYTES) {
      const { bytesRead } = await handle.read(piece, 0, Math.min(PIECE_BYTES, end - at), at);
      hash.update(piece.subarray(0, bytesRead));
    }
    await handle.write(hash.digest(), 0, HASH_BYTES, end);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Replaces ids in the list of an archive in a folder. */
export async function renameInArchive(folder: string, ids: ReadonlyMap<string, string>): Promise<void> {
  const file = join(folder, LIST_NAME);
  const list = await readCheckedJson(file, z.unknown());
  if (list === undefined) return;
  let text = JSON.stringify(list);
  for (const [before, now] of ids) text = text.replaceAll(before, now);
  await writeCheckedJson(file, JSON.parse(text));
}
