import { rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { checkedJson, readCheckedJson, writeCheckedJson } from '#storage/checked_json';
import { makeFolder } from '#storage/durable_files';
import { DamagedFileError } from '#storage/errors';
import { flipped, temporaryFolder, withInserted } from '../../support/servers/disk_folder.ts';

const folder = temporaryFolder('checked-json');
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, 'state.json');
const schema = z.record(z.string(), z.union([z.string(), z.number()]));

test('what was written is read; a changed, cut or lengthened file is the same value or an error with its name', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.string({ maxLength: 8 }), fc.oneof(fc.string({ maxLength: 8 }), fc.integer())),
      fc.constantFrom('none', 'flip', 'cut', 'insert'),
      fc.nat(),
      fc.uint8Array({ minLength: 1, maxLength: 8 }),
      async (given, how, place, garbage) => {
        const value = JSON.parse(JSON.stringify(given)) as Record<string, string | number>;
        const bytes = Buffer.from(checkedJson(value));
        const changed = {
          none: bytes,
          flip: flipped(bytes, place % (bytes.length * 8)),
          cut: bytes.subarray(0, place % bytes.length),
          insert: withInserted(bytes, place % (bytes.length + 1), garbage),
        }[how];
        writeFileSync(file, changed);
        try {
          expect(await readCheckedJson(file, schema, { before: schema })).toEqual(value);
        } catch (error) {
          if (!(error instanceof DamagedFileError)) throw error;
          expect(how).not.toBe('none');
          expect(error.message).toContain(file);
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

test('a file of an earlier version, a missing one, and what new files are allowed', async () => {
  writeFileSync(file, '{"0":"12"}');
  expect(await readCheckedJson(file, schema, { before: schema })).toEqual({ 0: '12' });
  await expect(readCheckedJson(file, schema)).rejects.toThrow(DamagedFileError);
  expect(await readCheckedJson(join(folder, 'none.json'), schema)).toBeUndefined();
  await makeFolder(join(folder, 'a', 'b'));
  await writeCheckedJson(join(folder, 'a', 'b', 'new.json'), { x: 1 });
  expect(statSync(join(folder, 'a', 'b', 'new.json')).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, 'a')).mode & 0o777).toBe(0o700);
});
