import { open, readFile, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { bootId } from './boot_id.ts';
import { makeFolder, replaceFile, syncFolder, writeSynced } from './durable_files.ts';
import { onDisk } from './errors.ts';
import { type Framing, frameOf, RECORDS, sealFrame, segmentHeader } from './framing.ts';
import { checkLog, type Damage, endOf, RESERVED_AT_ONCE } from './log_check.ts';
import { replaceMark } from './position_mark.ts';
import { ASIDE_FOLDER, listSegments, MARK_FILE, segmentFile } from './segment_files.ts';
import { findFrame, type ScannedSegment, scanSegment } from './segment_scan.ts';

/** A part of a file that was taken out. */
export interface MovedPart {
  readonly file: string;
  readonly fromByte: number;
  readonly toByte: number;
  /** Where it is now. */
  readonly movedTo: string;
  /** What can be read of it: the longest runs of printable characters. */
  readonly text: string;
}

export interface Repaired {
  readonly damage: readonly Damage[];
  readonly moved: readonly MovedPart[];
  /** Positions whose records are gone, from the first to the last of each run. */
  readonly lost: readonly { readonly from: number; readonly to: number }[];
  readonly records: number;
}

/** A run of intact records that are next to each other. */
interface Run {
  readonly base: number;
  readonly payloads: readonly Buffer[];
}

/**
 * Makes a damaged log usable: what cannot be read is moved into a folder beside the segments, what is intact before and after it stays with
 * its positions, and positions that may have been given are not given again. A log without damage is left as it is. It can be stopped at
 * any time and run again. The folder's lock must be held.
 */
export async function repairLog(directory: string): Promise<Repaired> {
  const { damage, mark, segments } = await checkLog(directory);
  if (damage.length === 0) return { damage, moved: [], lost: [], records: countOf(segments) };
  const aside = join(directory, ASIDE_FOLDER);
  await makeFolder(aside);
  const moved: MovedPart[] = [];
  const stamp = new Date().toISOString().replaceAll(/[:.]/g, '-');
  for (const segment of segments) {
    const { file, base, framing } = segment;
    if (segment.bad === undefined) continue;
    const bytes = await onDisk(file, () => readFile(file));
    const runs = await salvage({ file, base, framing, bytes, aside, stamp }, moved);
    await replaceSegment(directory, file, runs);
  }
  const kept = await scanAll(directory);
  const end = kept.reduce((most, segment) => Math.max(most, endOf(segment)), 0);
  // What the mark says was written was; where it is gone itself, more may have been than is here.
  const written = Math.max(mark?.written ?? 0, ...segments.map(({ previousEnd = 0 }) => previousEnd), end);
  const next = Math.max(written, mark?.reserved ?? end + 2 * RESERVED_AT_ONCE);
  await writeSynced(segmentFile(directory, next), segmentHeader(next, end));
  await joinUp(await scanAll(directory));
  await syncFolder(directory);
  const first = kept[0]?.base ?? next;
  const marked = { isClosed: true, bootId: bootId(), start: first, synced: next, written: next, reserved: next };
  await replaceMark(join(directory, MARK_FILE), marked);
  return { damage, moved, lost: gapsOf(kept, mark?.start ?? first, written), records: countOf(kept) };
}

const countOf = (segments: readonly ScannedSegment[]): number =>
  segments.reduce((sum, { records }) => sum + records, 0);

async function scanAll(directory: string): Promise<ScannedSegment[]> {
  const scanned: ScannedSegment[] = [];
  for (const { file, base, framing } of await listSegments(directory)) {
    scanned.push(await scanSegment(file, base, framing));
  }
  return scanned;
}

/** Positions between the records that are kept, and after them. */
function gapsOf(segments: readonly ScannedSegment[], start: number, written: number): { from: number; to: number }[] {
  const gaps: { from: number; to: number }[] = [];
  let at = start;
  for (const { base, records } of segments) {
    if (records === 0) continue;
    if (base > at) gaps.push({ from: at, to: base - 1 });
    at = Math.max(at, base + records);
  }
  if (written > at) gaps.push({ from: at, to: written - 1 });
  return gaps;
}

/** Puts what was saved of a segment in its place; the last part first, so that stopping in between loses nothing. */
async function replaceSegment(directory: string, damaged: string, runs: readonly Run[]): Promise<void> {
  for (const { base, payloads } of [...runs].reverse()) {
    const file = segmentFile(directory, base);
    const frames = payloads.map((payload, at) => {
      const frame = frameOf(payload);
      sealFrame(frame, base + at);
      return frame;
    });
    await replaceFile(file, Buffer.concat([segmentHeader(base, base), ...frames]));
  }
  if (runs.some(({ base }) => segmentFile(directory, base) === damaged)) return;
  await onDisk(damaged, () => unlink(damaged));
  await syncFolder(directory);
}

/** Makes each segment say where the one before it ends. */
async function joinUp(segments: readonly ScannedSegment[]): Promise<void> {
  for (const [at, { file, base, framing, previousEnd }] of segments.entries()) {
    const before = segments[at - 1];
    const end = before === undefined ? base : endOf(before);
    if (framing !== RECORDS || previousEnd === end) continue;
    await onDisk(file, async () => {
      const handle = await open(file, 'r+');
      try {
        await handle.write(segmentHeader(base, end), 0, undefined, 0);
        await handle.sync();
      } finally {
        await handle.close();
      }
    });
  }
}

interface Source {
  readonly file: string;
  readonly base: number;
  readonly framing: Framing;
  readonly bytes: Buffer;
  readonly aside: string;
  readonly stamp: string;
}

/** Takes every intact record out of a segment; what lies between them goes aside. */
async function salvage(source: Source, moved: MovedPart[]): Promise<Run[]> {
  const { file, base, framing, bytes } = source;
  const runs: Run[] = [];
  let payloads: Buffer[] = [];
  let runBase = base;
  let expected = base;
  const scanned = await scanSegment(file, base, framing);
  let at = scanned.bad?.atByte === 0 ? 0 : framing.firstAt;
  const handle = await onDisk(file, () => open(file, 'r'));
  try {
    while (at < bytes.length) {
      const looked = framing.look(bytes, at);
      if (
        looked.kind === 'frame' &&
        (looked.position ?? expected) >= expected &&
        isPlausible(looked.position, expected)
      ) {
        const position = looked.position ?? expected;
        if (position !== expected) {
          if (payloads.length > 0) runs.push({ base: runBase, payloads });
          payloads = [];
          runBase = position;
        }
        payloads.push(bytes.subarray(looked.payloadAt, at + looked.bytes));
        expected = position + 1;
        at += looked.bytes;
        continue;
      }
      const found = await findFrame(handle, at + 1, bytes.length, framing, expected);
      const to = found?.atByte ?? bytes.length;
      if (!(at === 0 && to === framing.firstAt)) moved.push(await moveAside(source, at, to));
      // In earlier versions' frames there is no position: one record, at least, is missing.
      if (found !== undefined && found.position === undefined) {
        if (payloads.length > 0) runs.push({ base: runBase, payloads });
        payloads = [];
        expected += 1;
        runBase = expected;
      }
      at = to;
    }
  } finally {
    await handle.close();
  }
  if (payloads.length > 0) runs.push({ base: runBase, payloads });
  return runs;
}

/** A segment is never this long: a record with such a position was not written by this log. */
const MOST_SKIPPED = 2 ** 40;
const isPlausible = (position: number | undefined, expected: number): boolean =>
  position === undefined || position - expected < MOST_SKIPPED;

async function moveAside({ file, bytes, aside, stamp }: Source, fromByte: number, toByte: number): Promise<MovedPart> {
  const movedTo = join(aside, `${basename(file)}.${stamp}.${fromByte}-${toByte}`);
  const part = bytes.subarray(fromByte, toByte);
  await writeSynced(movedTo, part);
  return { file, fromByte, toByte, movedTo, text: printable(part) };
}

const SHOWN_CHARACTERS = 400;

function printable(part: Buffer): string {
  const runs = part.toString('utf8').match(/[\p{L}\p{N}\p{P}\p{S} ]{4,}/gu) ?? [];
  return runs.join(' … ').slice(0, SHOWN_CHARACTERS);
}
