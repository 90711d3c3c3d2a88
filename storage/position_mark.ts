import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { FILE_MODE, replaceFile, syncFolder } from './durable_files.ts';
import { DamagedFileError, DiskFailedError, diskError, ifMissing, onDisk } from './errors.ts';

/** How far a log has come. Positions are those of records; an end is the position after the last one. */
export interface Marked {
  /** False while a process has the log open. */
  readonly isClosed: boolean;
  /** {@link bootId} of the run of the operating system that wrote it. */
  readonly bootId: string;
  /** Records before this were deleted by retention. */
  readonly start: number;
  /** Records before this are on the disk itself. */
  readonly synced: number;
  /** Records before this were written: acknowledged, and seen by readers. */
  readonly written: number;
  /** Positions before this may have been given to records, whatever became of them. */
  readonly reserved: number;
}

// Two slots in sectors of their own, written in turn: one of them is intact whatever happens to the other.
//   "HWM1", u64 sequence, u8 closed, 36 bytes boot id, u64 start, synced, written, reserved, u32 CRC-32 of these
const SLOT_AT = [0, 512] as const;
const SLOT_BYTES = 85;
const FILE_BYTES = SLOT_AT[1] + SLOT_BYTES;
const MAGIC = 0x48574d31;
const BOOT_ID_BYTES = 36;

interface Slot extends Marked {
  readonly sequence: number;
}

function encode({ sequence, isClosed, bootId, start, synced, written, reserved }: Slot): Buffer {
  const slot = Buffer.alloc(SLOT_BYTES);
  let at = slot.writeUInt32BE(MAGIC, 0);
  at = slot.writeBigUInt64BE(BigInt(sequence), at);
  at = slot.writeUInt8(isClosed ? 1 : 0, at);
  slot.write(bootId, at, BOOT_ID_BYTES, 'latin1');
  at += BOOT_ID_BYTES;
  for (const position of [start, synced, written, reserved]) at = slot.writeBigUInt64BE(BigInt(position), at);
  slot.writeUInt32BE(crc32(slot.subarray(0, at)), at);
  return slot;
}

function decode(slot: Buffer): Slot | undefined {
  const covered = SLOT_BYTES - 4;
  if (slot.length < SLOT_BYTES || slot.readUInt32BE(0) !== MAGIC) return undefined;
  if (slot.readUInt32BE(covered) !== crc32(slot.subarray(0, covered))) return undefined;
  const position = (index: number): number => Number(slot.readBigUInt64BE(13 + BOOT_ID_BYTES + 8 * index));
  return {
    sequence: Number(slot.readBigUInt64BE(4)),
    isClosed: slot[12] === 1,
    bootId: slot.toString('latin1', 13, 13 + BOOT_ID_BYTES).replaceAll('\0', ''),
    start: position(0),
    synced: position(1),
    written: position(2),
    reserved: position(3),
  };
}

/** @throws {@link DamagedFileError} when no slot is intact */
export async function readMark(file: string): Promise<Slot | undefined> {
  const bytes = await onDisk(file, () => readFile(file).catch(ifMissing(undefined)));
  if (bytes === undefined) return undefined;
  const slots = SLOT_AT.map((at) => decode(bytes.subarray(at, at + SLOT_BYTES))).filter((slot) => slot !== undefined);
  const newest = slots.sort((a, b) => b.sequence - a.sequence)[0];
  if (newest === undefined) throw new DamagedFileError(file, 0, 'none of its two entries is intact');
  return newest;
}

/** Writes a mark where no process has the log open. */
export async function replaceMark(file: string, marked: Marked, sequence = 0): Promise<void> {
  const bytes = Buffer.alloc(FILE_BYTES);
  encode({ ...marked, sequence }).copy(bytes, SLOT_AT[0]);
  encode({ ...marked, sequence: sequence + 1 }).copy(bytes, SLOT_AT[1]);
  await replaceFile(file, bytes);
}

/**
 * The file beside a log's segments that says how far the log has come, so that a log that was cut short is not taken for a whole one, and
 * no position is given twice. It is written in place, synchronously: a few microseconds for each batch of records.
 */
export class PositionMark {
  readonly #file: string;
  #descriptor: number | undefined;
  #sequence: number;
  #marked: Marked;

  private constructor(file: string, descriptor: number, sequence: number, marked: Marked) {
    this.#file = file;
    this.#descriptor = descriptor;
    this.#sequence = sequence;
    this.#marked = marked;
  }

  /** Opens the mark for a process that is going to write, with `marked` in it, durably. */
  static async open(file: string, marked: Marked): Promise<PositionMark> {
    // An intact mark stays where it is and is overwritten slot by slot.
    const earlier = await readMark(file);
    if (earlier === undefined) await replaceMark(file, marked);
    return onDisk(file, async () => {
      const descriptor = openSync(file, 'r+', FILE_MODE);
      const mark = new PositionMark(file, descriptor, earlier?.sequence ?? 1, marked);
      mark.set(marked);
      mark.sync();
      await syncFolder(dirname(file));
      return mark;
    });
  }

  get marked(): Marked {
    return this.#marked;
  }

  /** Changes the mark; it survives this process, and the machine after {@link sync}. */
  set(change: Partial<Marked>): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) return;
    const marked = { ...this.#marked, ...change };
    const sequence = this.#sequence + 1;
    const slot = encode({ ...marked, sequence });
    try {
      if (writeSync(descriptor, slot, 0, SLOT_BYTES, SLOT_AT[sequence % 2]) !== SLOT_BYTES) {
        throw new Error('the mark was written in part');
      }
    } catch (error) {
      throw diskError(this.#file, error);
    }
    this.#sequence = sequence;
    this.#marked = marked;
  }

  sync(): void {
    if (this.#descriptor === undefined) return;
    try {
      fsyncSync(this.#descriptor);
    } catch (error) {
      throw new DiskFailedError(this.#file, 'the disk did not confirm a write', error);
    }
  }

  close(): void {
    if (this.#descriptor === undefined) return;
    closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}
