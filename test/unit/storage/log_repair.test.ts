import { readFileSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { silentLogger } from '#monitoring/log';
import { frameOf } from '#storage/framing';
import { checkLog } from '#storage/log_check';
import { repairLog } from '#storage/log_repair';
import { RecordLog } from '#storage/record_log';
import {
  type FolderImage,
  flipped,
  imageOf,
  layOut,
  temporaryFolder,
  withInserted,
} from '../../support/servers/disk_folder.ts';

const folder = temporaryFolder('log-repair');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const TEXTS = Array.from({ length: 14 }, (_, at) => `record number ${at} ${'.'.repeat(at)}`);
let image: FolderImage;

const create = () => new RecordLog(folder, { segmentBytes: 220, syncEachWrite: false, log: silentLogger });

async function readAll(log: RecordLog): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for (let at = log.start; ; ) {
    const records = await log.read(at, 4);
    if (records.length === 0) return found;
    for (const { position, payload } of records) found.set(position, payload.toString());
    at = (records.at(-1) as { position: number }).position + 1;
  }
}

beforeAll(async () => {
  layOut(folder, new Map());
  const log = create();
  await log.open();
  for (const text of TEXTS) await log.append([frameOf(Buffer.from(text))]);
  image = imageOf(folder);
  await log.close();
});

test('a damaged record goes aside, the others stay with their positions, and the report says what was lost', async () => {
  const [name] = [...image.keys()].filter((each) => each.endsWith('.records')).sort() as [string];
  const bytes = image.get(name) as Buffer;
  layOut(folder, image, new Map([[name, flipped(bytes, 8 * bytes.indexOf('number 1 '))]]));
  const report = await repairLog(folder);
  expect(report).toMatchObject({ lost: [{ from: 1, to: 1 }], records: TEXTS.length - 1 });
  expect(report.moved).toHaveLength(1);
  expect(report.moved[0]?.text).toContain('umber 1');
  expect(readFileSync(report.moved[0]?.movedTo as string).toString('latin1')).toContain('umber 1');
  expect((await checkLog(folder)).damage).toEqual([]);
  const log = create();
  await log.open();
  const found = await readAll(log);
  expect([...found.keys()]).toEqual([0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
  expect(await log.append([frameOf(Buffer.from('new'))])).toBeGreaterThanOrEqual(TEXTS.length);
  await log.close();
});

test('whatever was damaged, cut or put in: afterwards the log opens, every record it has is one that was written, and positions go on', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          file: fc.nat(),
          place: fc.nat(),
          how: fc.constantFrom('flip', 'cut', 'insert', 'zero', 'remove'),
          garbage: fc.uint8Array({ minLength: 1, maxLength: 40 }),
        }),
        { minLength: 1, maxLength: 3 },
      ),
      async (faults) => {
        const files = new Map<string, Buffer | undefined>(image);
        for (const { file, place, how, garbage } of faults) {
          const name = [...image.keys()].sort()[file % image.size] as string;
          const bytes = files.get(name);
          if (bytes === undefined || bytes.length === 0) continue;
          const at = place % bytes.length;
          if (how === 'flip') files.set(name, flipped(bytes, place % (bytes.length * 8)));
          else if (how === 'cut') files.set(name, bytes.subarray(0, at));
          else if (how === 'insert') files.set(name, withInserted(bytes, at, garbage));
          else if (how === 'zero')
            files.set(name, Buffer.concat([bytes.subarray(0, at), Buffer.alloc(bytes.length - at)]));
          else files.set(name, undefined);
        }
        layOut(folder, image, files);
        const before = await checkLog(folder);
        const report = await repairLog(folder);
        expect(report.damage).toEqual(before.damage);
        expect((await checkLog(folder)).damage).toEqual([]);
        const log = create();
        await log.open();
        const found = await readAll(log);
        for (const [position, text] of found) expect(text).toBe(TEXTS[position]);
        expect(found.size).toBe(report.records);
        // Every record that was written is here, or the report counts it among the lost.
        const lost = report.lost.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, at) => from + at));
        const isMarkIntact = files.get('mark')?.equals(image.get('mark') as Buffer) === true;
        if (isMarkIntact) {
          expect([...found.keys(), ...lost].sort((a, b) => a - b)).toEqual(TEXTS.map((_, at) => at));
        }
        expect(await log.append([frameOf(Buffer.from('new'))])).toBeGreaterThanOrEqual(
          isMarkIntact ? TEXTS.length : found.size,
        );
        await log.close();
      },
    ),
    {
      numRuns: 300,
      examples: [
        [
          // Half of the first segment and all records of the second are lost.
          [
            { file: 1, place: 32, how: 'cut', garbage: Uint8Array.of(0) },
            { file: 0, place: 190, how: 'insert', garbage: Uint8Array.of(1) },
          ],
        ],
      ],
    },
  );
}, 120_000);

test('a log without damage is left as it is', async () => {
  layOut(folder, image);
  expect(await repairLog(folder)).toMatchObject({ damage: [], moved: [], lost: [] });
  expect(imageOf(folder)).toEqual(image);
});
