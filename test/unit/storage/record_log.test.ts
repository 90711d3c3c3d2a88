import { appendFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { silentLogger } from '#monitoring/log';
import { DamagedFileError } from '#storage/errors';
import { frameOf } from '#storage/framing';
import { checkLog, RESERVED_AT_ONCE } from '#storage/log_check';
import { readMark, replaceMark } from '#storage/position_mark';
import { RecordLog } from '#storage/record_log';
import { byForm } from '../../support/jest/forms.ts';
import {
  type FolderImage,
  flipped,
  imageOf,
  layOut,
  temporaryFolder,
  withInserted,
} from '../../support/servers/disk_folder.ts';

const folder = temporaryFolder('record-log');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SEGMENT_BYTES = 150;

function create(syncEachWrite = false): RecordLog {
  return new RecordLog(folder, { segmentBytes: SEGMENT_BYTES, syncEachWrite, log: silentLogger });
}

const append = (log: RecordLog, texts: readonly string[]): Promise<number> =>
  log.append(texts.map((text) => frameOf(Buffer.from(text))));

async function readAll(log: RecordLog): Promise<{ position: number; text: string }[]> {
  const found: { position: number; text: string }[] = [];
  for (let at = log.start; ; ) {
    const records = await log.read(at, 3);
    if (records.length === 0) return found;
    for (const { position, payload } of records) found.push({ position, text: payload.toString() });
    at = (found.at(-1) as { position: number }).position + 1;
  }
}

const TEXTS = ['one', 'two', 'three', '', 'five', `six ${'x'.repeat(60)}`, 'seven', 'ünï', 'nine', 'ten', 'eleven'];
const EXPECTED = TEXTS.map((text, position) => ({ position, text }));

/** What a log of eleven acknowledged records is on disk: closed, killed, and after the machine lost power with everything written out. */
const images = {} as Record<'closed' | 'killed' | 'powerless', FolderImage>;

beforeAll(async () => {
  layOut(folder, new Map());
  const log = create();
  await log.open();
  for (const text of TEXTS.slice(0, 6)) await append(log, [text]);
  await append(log, TEXTS.slice(6, 8));
  await log.sync();
  await append(log, TEXTS.slice(8));
  images.killed = imageOf(folder);
  await log.close();
  images.closed = imageOf(folder);
  layOut(folder, images.killed);
  const mark = await readMark(join(folder, 'mark'));
  if (mark === undefined) throw new Error('the log has no mark');
  await replaceMark(join(folder, 'mark'), { ...mark, bootId: '00000000-0000-0000-0000-000000000000' }, mark.sequence);
  images.powerless = imageOf(folder);
});

/** Opens what lies in the folder: its records and the next position, or the error. */
async function outcome(): Promise<{ records: { position: number; text: string }[]; next: number } | DamagedFileError> {
  const log = create();
  try {
    await log.open();
  } catch (error) {
    if (error instanceof DamagedFileError) return error;
    throw error;
  }
  try {
    return { records: await readAll(log), next: log.end };
  } finally {
    await log.close();
  }
}

/** Acknowledged records are there, or an error names a file and a byte. */
async function expectAllOrError(atLeast: number): Promise<'all' | 'torn' | 'error'> {
  const found = await outcome();
  if (found instanceof DamagedFileError) {
    expect(found.message).toContain(found.file);
    expect(found.file.startsWith(folder)).toBe(true);
    expect(found.atByte).toBeGreaterThanOrEqual(0);
    return 'error';
  }
  expect(found.records).toEqual(EXPECTED.slice(0, found.records.length));
  expect(found.records.length).toBeGreaterThanOrEqual(atLeast);
  expect(found.next).toBeGreaterThanOrEqual(EXPECTED.length);
  return found.records.length === EXPECTED.length ? 'all' : 'torn';
}

/** Records that must not be missing without an error: all of them, but after a loss of power those that were synced. */
const VOUCHED = { closed: TEXTS.length, killed: TEXTS.length, powerless: 8 } as const;
const STATES = ['closed', 'killed', 'powerless'] as const;

describe.each(STATES)('a log that was %s', (state) => {
  const files = () => [...images[state]];

  test('opens with every record', async () => {
    layOut(folder, images[state]);
    expect(await outcome()).toMatchObject({
      records: EXPECTED,
      next: state === 'powerless' ? RESERVED_AT_ONCE : TEXTS.length,
    });
  });

  test('with any one bit turned over: every acknowledged record, or an error with file and byte', async () => {
    const counts = { all: 0, torn: 0, error: 0 };
    // Coprime to 8: every bit of a byte is turned over somewhere.
    const step = state === 'killed' ? byForm({ short: 7, long: 3 }) : byForm({ short: 23, long: 11 });
    for (const [name, bytes] of files()) {
      for (let bit = 0; bit < bytes.length * 8; bit += step) {
        layOut(folder, images[state], new Map([[name, flipped(bytes, bit)]]));
        counts[await expectAllOrError(VOUCHED[state])] += 1;
      }
    }
    expect(counts.error).toBeGreaterThan(0);
  }, 240_000);

  test('cut short at any byte: every acknowledged record, or an error with file and byte', async () => {
    for (const [name, bytes] of files()) {
      for (let length = 0; length < bytes.length; length += 1) {
        layOut(folder, images[state], new Map([[name, bytes.subarray(0, length)]]));
        await expectAllOrError(VOUCHED[state]);
      }
    }
  }, 240_000);

  test('without any one of its files: an error', async () => {
    for (const [name] of files()) {
      layOut(folder, images[state], new Map([[name, undefined]]));
      expect(await outcome()).toBeInstanceOf(DamagedFileError);
    }
  });

  test('with garbage put in or written over anywhere: every acknowledged record, or an error with file and byte', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.nat(),
        fc.uint8Array({ minLength: 1, maxLength: 80 }),
        fc.boolean(),
        async (file, place, garbage, isOver) => {
          const [name, bytes] = files()[file % files().length] as [string, Buffer];
          const at = place % (bytes.length + 1);
          const changed = isOver
            ? Buffer.concat([bytes.subarray(0, at), garbage, bytes.subarray(at + garbage.length)])
            : withInserted(bytes, at, garbage);
          layOut(folder, images[state], new Map([[name, changed]]));
          await expectAllOrError(VOUCHED[state]);
        },
      ),
      { numRuns: byForm({ short: 100, long: 300 }) },
    );
  }, 120_000);

  test('with two segments swapped, or one in the place of another: an error', async () => {
    const segments = files().filter(([name]) => name.endsWith('.records'));
    for (const [one, oneBytes] of segments) {
      for (const [other, otherBytes] of segments) {
        if (one === other) continue;
        layOut(folder, images[state], new Map([[one, otherBytes]]));
        expect(await outcome()).toBeInstanceOf(DamagedFileError);
        layOut(
          folder,
          images[state],
          new Map([
            [one, otherBytes],
            [other, oneBytes],
          ]),
        );
        expect(await outcome()).toBeInstanceOf(DamagedFileError);
      }
    }
  });
});

const lastOf = (image: FolderImage): string =>
  [...image.keys()]
    .filter((name) => name.endsWith('.records'))
    .sort()
    .at(-1) as string;

test('what a kill leaves of a write that was not acknowledged is cut off, and its positions are not given again', async () => {
  for (const kept of [1, 19, 20, 24]) {
    layOut(folder, images.killed);
    const frame = frameOf(Buffer.from('never acknowledged'));
    const { sealFrame } = await import('#storage/framing');
    sealFrame(frame, TEXTS.length);
    appendFileSync(join(folder, lastOf(images.killed)), frame.subarray(0, kept));
    const found = await outcome();
    expect(found).toMatchObject({ records: EXPECTED });
    expect((found as { next: number }).next).toBeGreaterThanOrEqual(TEXTS.length + 1);
  }
});

test('zeros up to the end of the file are a torn tail after a loss of power, and damage while the machine has run', async () => {
  const name = lastOf(images.killed);
  for (const [state, expected] of [
    ['powerless', 'records'],
    ['killed', 'damage'],
    ['closed', 'damage'],
  ] as const) {
    const bytes = images[state].get(name) as Buffer;
    layOut(folder, images[state], new Map([[name, Buffer.concat([bytes, Buffer.alloc(700)])]]));
    const found = await outcome();
    if (expected === 'damage') expect(found).toBeInstanceOf(DamagedFileError);
    else expect(found).toMatchObject({ records: EXPECTED, next: RESERVED_AT_ONCE });
  }
});

test('records that were acknowledged, not synced, and lost with the power leave their positions unused', async () => {
  const name = lastOf(images.powerless);
  const bytes = images.powerless.get(name) as Buffer;
  layOut(folder, images.powerless, new Map([[name, bytes.subarray(0, bytes.length - 3)]]));
  const log = create();
  await log.open();
  expect(await append(log, ['after'])).toBe(RESERVED_AT_ONCE);
  expect(await readAll(log)).toEqual([...EXPECTED.slice(0, -1), { position: RESERVED_AT_ONCE, text: 'after' }]);
  expect(log.recordsFrom(5)).toBe(TEXTS.length - 1 - 5 + 1);
  await log.close();
});

test('whatever is appended, closed, killed and discarded in whatever order, records are read back as a list would give them', async () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.array(fc.string({ maxLength: 90 }), { minLength: 1, maxLength: 6 }) },
    { weight: 1, arbitrary: fc.constant('close' as const) },
    { weight: 1, arbitrary: fc.constant('kill' as const) },
    { weight: 1, arbitrary: fc.constant('roll' as const) },
    { weight: 1, arbitrary: fc.nat({ max: 40 }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      layOut(folder, new Map());
      let log = create();
      await log.open();
      let kept: { position: number; text: string }[] = [];
      for (const each of steps) {
        if (each === 'close' || each === 'kill') {
          const image = imageOf(folder);
          await log.close();
          if (each === 'kill') layOut(folder, image);
          log = create();
          await log.open();
        } else if (each === 'roll') await log.roll();
        else if (typeof each === 'number') {
          await log.discardBefore(each);
          kept = kept.filter(({ position }) => position >= log.start);
          expect(log.start).toBeLessThanOrEqual(Math.max(each, log.start));
          expect(kept.filter(({ position }) => position >= each)).toHaveLength(log.recordsFrom(each));
        } else {
          const first = await append(log, each);
          kept.push(...each.map((text, at) => ({ position: first + at, text })));
        }
      }
      expect(await readAll(log)).toEqual(kept);
      expect(new Set(kept.map(({ position }) => position)).size).toBe(kept.length);
      await log.close();
    }),
    { numRuns: byForm({ short: 25, long: 60 }) },
  );
}, 60_000);

test('appends that follow each other in one turn are all written', async () => {
  layOut(folder, new Map());
  const log = create(true);
  await log.open();
  const positions: number[] = [];
  for (let at = 0; at < 50; at += 1) positions.push(await append(log, [`${at}`]));
  expect(positions).toEqual(Array.from({ length: 50 }, (_, at) => at));
  await log.close();
});

test('a bit that turns over while the log is open is an error when it is read', async () => {
  layOut(folder, images.closed);
  const log = create();
  await log.open();
  const name = [...images.closed.keys()].find((each) => each.endsWith('.records')) as string;
  const bytes = readFileSync(join(folder, name));
  const { writeFileSync } = await import('node:fs');
  writeFileSync(join(folder, name), flipped(bytes, 8 * 40 + 3));
  await expect(log.read(0, 5)).rejects.toThrow(DamagedFileError);
  await log.close();
});

test('checking changes nothing', async () => {
  for (const state of STATES) {
    layOut(folder, images[state]);
    await checkLog(folder);
    expect(imageOf(folder)).toEqual(images[state]);
  }
});
