import { join } from 'node:path';
import { bootId } from './boot_id.ts';
import { DamagedFileError } from './errors.ts';
import { RECORDS } from './framing.ts';
import { type Marked, readMark } from './position_mark.ts';
import { listSegments, MARK_FILE } from './segment_files.ts';
import { type BadEnd, type ScannedSegment, scanSegment } from './segment_scan.ts';

/** Positions that are reserved at once: the mark is synced once for so many records. */
export const RESERVED_AT_ONCE = 65_536;

export interface Damage {
  readonly file: string;
  readonly atByte: number;
  readonly problem: string;
}

/** A log as it lies on disk. */
export interface CheckedLog {
  readonly segments: readonly ScannedSegment[];
  readonly mark: Marked | undefined;
  /** Position after the last intact record. */
  readonly end: number;
  /** What a crash left after the last acknowledged record. */
  readonly tornTail: (BadEnd & { readonly file: string; readonly sizeBytes: number }) | undefined;
  readonly damage: readonly Damage[];
}

export const endOf = ({ base, records }: ScannedSegment): number => base + records;

/**
 * Checks every byte of a log against what its mark says was written. Changes nothing.
 *
 * The one thing that may be wrong is a torn tail: an incomplete last record of the last segment, or zeros up to its end after the machine
 * has stopped, and only after the last record that the mark vouches for. While the operating system has kept running that is every record
 * that was acknowledged; after a crash of the machine, every record that was synced. Everything else is damage.
 */
export async function checkLog(directory: string): Promise<CheckedLog> {
  const damage: Damage[] = [];
  const markFile = join(directory, MARK_FILE);
  let mark: Marked | undefined;
  let isMarkDamaged = false;
  try {
    mark = await readMark(markFile);
  } catch (error) {
    if (!(error instanceof DamagedFileError)) throw error;
    isMarkDamaged = true;
    damage.push({ file: markFile, atByte: 0, problem: 'none of its two entries is intact' });
  }
  const files = await listSegments(directory);
  const segments: ScannedSegment[] = [];
  for (const { file, base, framing } of files) segments.push(await scanSegment(file, base, framing));
  const isSameRun = mark !== undefined && mark.bootId !== '' && mark.bootId === bootId();
  const vouched = mark === undefined ? 0 : mark.isClosed || isSameRun ? mark.written : mark.synced;
  const last = segments.at(-1);
  const end = last === undefined ? (mark?.start ?? 0) : endOf(last);

  if (mark === undefined && !isMarkDamaged && segments.some(({ framing }) => framing === RECORDS)) {
    damage.push({ file: markFile, atByte: 0, problem: 'it is missing, and the log has records' });
  }
  const first = segments[0];
  if (mark !== undefined && mark.start < (first?.base ?? mark.reserved) && mark.start < vouched) {
    const found = first === undefined ? 'there is no segment' : `the first segment begins at ${first.base}`;
    damage.push({ file: markFile, atByte: 0, problem: `the log begins at record ${mark.start}, but ${found}` });
  }
  for (const [at, segment] of segments.entries()) {
    const next = segments[at + 1];
    if (segment.bad !== undefined && next !== undefined) {
      damage.push({ file: segment.file, atByte: segment.bad.atByte, problem: segment.bad.problem });
    } else if (next !== undefined && next.bad?.atByte !== 0) {
      const previousEnd = next.previousEnd ?? next.base;
      if (previousEnd !== endOf(segment) || next.base < previousEnd) {
        const problem = `it ends with record ${endOf(segment) - 1}, and the next segment says that record ${previousEnd - 1} was the last one before it`;
        damage.push({ file: segment.file, atByte: segment.goodBytes, problem });
      }
    }
  }
  let tornTail: CheckedLog['tornTail'];
  if (last?.bad !== undefined) {
    const mayBeZeros = mark !== undefined && !mark.isClosed && !isSameRun;
    const isTorn = last.bad.torn === 'cut' || (last.bad.torn === 'zeros' && (mayBeZeros || mark === undefined));
    if (isTorn && end >= vouched) tornTail = { ...last.bad, file: last.file, sizeBytes: last.sizeBytes };
    else damage.push({ file: last.file, atByte: last.bad.atByte, problem: last.bad.problem });
  } else if (end < vouched && damage.length === 0) {
    const problem = `the file ends after record ${end - 1}, but record ${vouched - 1} was written`;
    damage.push({ file: last?.file ?? directory, atByte: last?.goodBytes ?? 0, problem });
  }
  return { segments, mark, end, tornTail, damage };
}
