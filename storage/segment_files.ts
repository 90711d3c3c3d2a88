import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { onDisk } from './errors.ts';
import { BEFORE, type Framing, RECORDS } from './framing.ts';

export const MARK_FILE = 'mark';
/** Where a repair puts what it takes out. */
export const ASIDE_FOLDER = 'damaged';
const NAME = /^(\d{20})\.(records|log)$/;

export interface SegmentFile {
  readonly file: string;
  readonly base: number;
  readonly framing: Framing;
}

export const segmentFile = (directory: string, base: number): string =>
  join(directory, `${String(base).padStart(20, '0')}.records`);

/** Lists the segments of a log, the oldest first. */
export async function listSegments(directory: string): Promise<SegmentFile[]> {
  const names = await onDisk(directory, () => readdir(directory));
  return names
    .map((name) => ({ name, match: NAME.exec(name) }))
    .filter(({ match }) => match !== null)
    .map(({ name, match }) => ({
      file: join(directory, name),
      base: Number(match?.[1]),
      framing: match?.[2] === 'log' ? BEFORE : RECORDS,
    }))
    .sort((a, b) => a.base - b.base || (a.framing === BEFORE ? -1 : 1));
}
