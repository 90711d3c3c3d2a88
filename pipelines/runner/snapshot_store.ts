import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { messageOf } from '#kernel/errors';
import type { Logger } from '#monitoring/log';
import { SnapshotError } from '#pipelines/engine/errors';
import type { TransformSnapshot } from '#pipelines/engine/executor';

/** Bumped when the layout of a snapshot file changes. */
const FORMAT = 'headwater-snapshot-1';
const NAME = /^snapshot-(\d{12})\.bin$/;
const KEPT = 2;

export interface LoadedSnapshot {
  readonly sequence: number;
  readonly transforms: readonly TransformSnapshot[];
}

/**
 * Snapshots in a folder, one file each: a header line of JSON (format, SHA-256 of the rest), then the structured clone of
 * every transform. Written to a temporary file, synced, renamed; the two newest are kept, so that one damaged file is not the end.
 */
export class SnapshotStore {
  readonly #directory: string;
  readonly #log: Logger;
  #sequence = 0;

  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /** The newest readable snapshot. @throws {@link SnapshotError} when there are some and none is readable */
  async load(): Promise<LoadedSnapshot | undefined> {
    await mkdir(this.#directory, { recursive: true });
    const sequences = await this.#list();
    this.#sequence = sequences[0] ?? 0;
    const problems: string[] = [];
    for (const sequence of sequences) {
      const file = this.#file(sequence);
      try {
        return { sequence, transforms: decode(await readFile(file)) };
      } catch (error) {
        problems.push(`${file}: ${messageOf(error)}`);
        this.#log.error({ file, error }, 'snapshot.unreadable');
      }
    }
    if (problems.length === 0) return undefined;
    throw new SnapshotError(
      `no snapshot can be read: ${problems.join('; ')}. Restore the folder from a backup, or move it away to start from the beginning of the sources`,
    );
  }

  async save(transforms: readonly TransformSnapshot[]): Promise<{ readonly sequence: number; readonly bytes: number }> {
    this.#sequence += 1;
    const bytes = encode(transforms);
    const file = this.#file(this.#sequence);
    const temporary = `${file}.tmp`;
    const handle = await open(temporary, 'w');
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
    await syncDirectory(this.#directory);
    for (const old of (await this.#list()).slice(KEPT)) await unlink(this.#file(old));
    return { sequence: this.#sequence, bytes: bytes.length };
  }

  #file(sequence: number): string {
    return join(this.#directory, `snapshot-${String(sequence).padStart(12, '0')}.bin`);
  }

  /** Newest first. */
  async #list(): Promise<number[]> {
    const names = await readdir(this.#directory);
    return names
      .map((name) => NAME.exec(name)?.[1])
      .filter((digits) => digits !== undefined)
      .map(Number)
      .sort((a, b) => b - a);
  }
}

function encode(transforms: readonly TransformSnapshot[]): Buffer {
  const body = serialize(transforms);
  const header = JSON.stringify({ format: FORMAT, sha256: sha256(body), bytes: body.length });
  return Buffer.concat([Buffer.from(`${header}\n`), body]);
}

function decode(file: Buffer): TransformSnapshot[] {
  const end = file.indexOf(0x0a);
  if (end < 0) throw new Error('it has no header');
  const header = JSON.parse(file.toString('utf8', 0, end)) as { format: string; sha256: string };
  if (header.format !== FORMAT) throw new Error(`its format is ${header.format}, this version reads ${FORMAT}`);
  const body = file.subarray(end + 1);
  if (sha256(body) !== header.sha256) throw new Error('its checksum does not match: it is damaged or cut short');
  return deserialize(body) as TransformSnapshot[];
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
