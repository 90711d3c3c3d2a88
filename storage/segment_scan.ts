import { type FileHandle, open } from 'node:fs/promises';
import { onDisk } from './errors.ts';
import {
  BEFORE,
  type Framing,
  LARGEST_PAYLOAD_BYTES,
  type Looked,
  RECORDS,
  readSegmentHeader,
  SEGMENT_HEADER_BYTES,
} from './framing.ts';

/** What follows the last intact record of a segment. */
export interface BadEnd {
  readonly atByte: number;
  readonly problem: string;
  /**
   * How a crash can have left it: `cut`, the file ends within a record; `zeros`, from the beginning of a sector to the end of the file
   * there are only zeros, which a machine that lost power leaves where a file was made longer and its data was not written.
   */
  readonly torn: 'cut' | 'zeros' | undefined;
}

export interface ScannedSegment {
  readonly file: string;
  readonly framing: Framing;
  readonly base: number;
  /** End of the segment before, as this one says; undefined in segments of earlier versions. */
  readonly previousEnd: number | undefined;
  readonly sizeBytes: number;
  /** Bytes of the header and the intact records. */
  readonly goodBytes: number;
  readonly records: number;
  /** File positions of records 0, {@link INDEX_EVERY}, … */
  readonly index: number[];
  readonly bad: BadEnd | undefined;
}

/** A file position is kept every so many records. */
export const INDEX_EVERY = 256;
const READ_BYTES = 256 * 1024;
const SECTOR_BYTES = 512;

/** Reads a file forward, keeping what was not consumed. */
export class ForwardReader {
  readonly #handle: FileHandle;
  readonly #end: number;
  #buffer = Buffer.alloc(0);
  #at = 0;
  /** File position of what {@link buffer} begins with, at `cursor`. */
  #bufferFrom: number;

  constructor(handle: FileHandle, from: number, end: number) {
    this.#handle = handle;
    this.#bufferFrom = from;
    this.#end = end;
  }

  get buffer(): Buffer {
    return this.#buffer;
  }

  get cursor(): number {
    return this.#at;
  }

  /** File position of the cursor. */
  get filePosition(): number {
    return this.#bufferFrom + this.#at;
  }

  advance(bytes: number): void {
    this.#at += bytes;
  }

  /** @returns false at the end of the file */
  async more(needs: number): Promise<boolean> {
    const rest = this.#buffer.subarray(this.#at);
    const from = this.#bufferFrom + this.#buffer.length;
    const wanted = Math.min(Math.max(READ_BYTES, needs - rest.length), this.#end - from);
    if (wanted <= 0) return false;
    const chunk = Buffer.allocUnsafe(wanted);
    const { bytesRead } = await this.#handle.read(chunk, 0, wanted, from);
    if (bytesRead === 0) return false;
    this.#bufferFrom = this.filePosition;
    this.#buffer =
      rest.length === 0 ? chunk.subarray(0, bytesRead) : Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
    this.#at = 0;
    return true;
  }
}

/** Looks at the next frame, reading on where needed; `incomplete` only at the end of the file. */
export async function nextFrame(reader: ForwardReader, framing: Framing): Promise<Looked> {
  for (;;) {
    const looked = framing.look(reader.buffer, reader.cursor);
    if (looked.kind !== 'incomplete') return looked;
    if (looked.needs > framing.headerBytes + LARGEST_PAYLOAD_BYTES) {
      return { kind: 'damaged', problem: `a record of ${looked.needs} bytes is not possible` };
    }
    if (!(await reader.more(looked.needs))) return looked;
  }
}

/** Checks a whole segment: its header, and each record's length, place and checksums. Changes nothing. */
export async function scanSegment(file: string, base: number, framing: Framing): Promise<ScannedSegment> {
  return onDisk(file, async () => {
    const handle = await open(file, 'r');
    try {
      return await scan(handle, file, base, framing);
    } finally {
      await handle.close();
    }
  });
}

async function scan(handle: FileHandle, file: string, base: number, framing: Framing): Promise<ScannedSegment> {
  const { size: sizeBytes } = await handle.stat();
  const found = { file, framing, base, sizeBytes };
  const index: number[] = [];
  let previousEnd: number | undefined;
  if (framing === RECORDS) {
    const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
    const { bytesRead } = await handle.read(header, 0, SEGMENT_HEADER_BYTES, 0);
    const nothing = { ...found, previousEnd, goodBytes: 0, records: 0, index };
    if (bytesRead < SEGMENT_HEADER_BYTES) {
      return { ...nothing, bad: { atByte: 0, problem: 'the segment header is cut short', torn: 'cut' } };
    }
    const said = readSegmentHeader(header);
    const problem =
      'problem' in said ? said.problem : said.base === base ? undefined : `it says that it begins at ${said.base}`;
    if ('problem' in said || problem !== undefined) {
      const torn = (await isZeroFrom(handle, 0, sizeBytes)) ? 'zeros' : undefined;
      return { ...nothing, bad: { atByte: 0, problem: problem ?? 'the segment header is damaged', torn } };
    }
    previousEnd = said.previousEnd;
  }
  const reader = new ForwardReader(handle, framing.firstAt, sizeBytes);
  let records = 0;
  for (;;) {
    if (reader.filePosition >= sizeBytes) {
      return { ...found, previousEnd, goodBytes: reader.filePosition, records, index, bad: undefined };
    }
    const looked = await nextFrame(reader, framing);
    const atByte = reader.filePosition;
    if (looked.kind === 'frame' && (looked.position === undefined || looked.position === base + records)) {
      if (records % INDEX_EVERY === 0) index.push(atByte);
      records += 1;
      reader.advance(looked.bytes);
      continue;
    }
    const end = { ...found, previousEnd, goodBytes: atByte, records, index };
    if (looked.kind === 'frame') {
      const problem = `record ${looked.position} is in the place of record ${base + records}`;
      return { ...end, bad: { atByte, problem, torn: undefined } };
    }
    const hasMore = async (): Promise<boolean> =>
      (await findFrame(handle, atByte + 1, sizeBytes, framing, 0)) !== undefined;
    if (looked.kind === 'damaged') {
      const torn = (await isZeroFrom(handle, atByte, sizeBytes)) && !(await hasMore()) ? 'zeros' : undefined;
      const problem = torn === undefined ? looked.problem : 'the rest of the file is zeros';
      return { ...end, bad: { atByte, problem, torn } };
    }
    // The length in earlier versions' frames has no checksum: where a record follows, the length is what is damaged.
    if (framing === BEFORE && (await hasMore())) {
      const problem = 'the length of the record is damaged: records follow it';
      return { ...end, bad: { atByte, problem, torn: undefined } };
    }
    return { ...end, bad: { atByte, problem: 'the file ends within a record', torn: 'cut' } };
  }
}

/** True when everything from a sector's beginning, at or after `from` and before the end, to the end of the file is zeros: at least one byte. */
async function isZeroFrom(handle: FileHandle, from: number, sizeBytes: number): Promise<boolean> {
  const tail = Buffer.alloc(SECTOR_BYTES);
  // The last byte and its sector decide in nearly all cases.
  const lastSector = Math.floor((sizeBytes - 1) / SECTOR_BYTES) * SECTOR_BYTES;
  const start = Math.max(from, lastSector);
  if (start >= sizeBytes) return false;
  const { bytesRead } = await handle.read(tail, 0, sizeBytes - start, start);
  for (let at = 0; at < bytesRead; at += 1) if (tail[at] !== 0) return false;
  return true;
}

export interface FoundFrame {
  readonly atByte: number;
  readonly position: number | undefined;
}

/** Returns the first intact record at or after a byte, with a position of at least `atLeast`. */
export async function findFrame(
  handle: FileHandle,
  from: number,
  sizeBytes: number,
  framing: Framing,
  atLeast: number,
): Promise<FoundFrame | undefined> {
  const rest = Buffer.alloc(Math.max(0, sizeBytes - from));
  const { bytesRead } = await handle.read(rest, 0, rest.length, from);
  const bytes = rest.subarray(0, bytesRead);
  for (let at = 0; at + framing.headerBytes <= bytes.length; at += 1) {
    const looked = framing.look(bytes, at);
    if (looked.kind !== 'frame') continue;
    if (looked.position === undefined || looked.position >= atLeast)
      return { atByte: from + at, position: looked.position };
  }
  return undefined;
}
