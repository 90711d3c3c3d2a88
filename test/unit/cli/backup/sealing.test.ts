import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Sealing } from '#cli/backup/sealing';

const SECRET = 'a secret of tests that is long enough';
const bytes = fc.uint8Array({ maxLength: 2_000 });

test('what is sealed opens to the same bytes, each time sealed anew', async () => {
  await fc.assert(
    fc.asyncProperty(bytes, fc.string(), async (content, path) => {
      const sealing = new Sealing(SECRET);
      const [once, twice] = [await sealing.seal(path, content), await sealing.seal(path, content)];
      expect(once.equals(twice)).toBe(false);
      expect((await new Sealing(SECRET).open(path, once)).equals(content)).toBe(true);
    }),
  );
});

test('one changed bit, an end that is cut off, another path or another secret do not open', async () => {
  await fc.assert(
    fc.asyncProperty(bytes, fc.nat(), fc.integer({ min: 0, max: 7 }), async (content, place, bit) => {
      const sealing = new Sealing(SECRET);
      const sealed = await sealing.seal('objects/a', content);
      const changed = Buffer.from(sealed);
      const at = place % sealed.length;
      changed[at] = (changed[at] as number) ^ (1 << bit);
      const refused = { code: 'CLI_BACKUP_DAMAGED' };
      await expect(sealing.open('objects/a', changed)).rejects.toMatchObject(refused);
      await expect(sealing.open('objects/a', sealed.subarray(0, at))).rejects.toMatchObject(refused);
      await expect(sealing.open('objects/b', sealed)).rejects.toMatchObject(refused);
      await expect(new Sealing(`${SECRET}.`).open('objects/a', sealed)).rejects.toMatchObject(refused);
    }),
  );
});

test('names are equal for equal bytes and differ with the secret', () => {
  const [one, other] = [new Sealing(SECRET), new Sealing(`${SECRET}.`)];
  expect(one.nameOf(Buffer.from('a'))).toBe(one.nameOf(Buffer.from('a')));
  expect(one.nameOf(Buffer.from('a'))).not.toBe(other.nameOf(Buffer.from('a')));
});
