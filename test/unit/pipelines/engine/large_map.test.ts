import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { LargeMap } from '#pipelines/engine/state/large_map';

test('it is what a Map is, however many Maps it takes', () => {
  const command = fc.tuple(fc.constantFrom('set', 'delete', 'get'), fc.integer({ min: 0, max: 30 }), fc.integer());
  fc.assert(
    fc.property(fc.array(command, { maxLength: 200 }), fc.integer({ min: 1, max: 9 }), (commands, most) => {
      const large = new LargeMap<number, number>(most);
      const map = new Map<number, number>();
      for (const [kind, key, value] of commands) {
        if (kind === 'set') {
          large.set(key, value);
          map.set(key, value);
        } else if (kind === 'delete') expect(large.delete(key)).toBe(map.delete(key));
        expect([large.get(key), large.has(key), large.size]).toEqual([map.get(key), map.has(key), map.size]);
      }
      const byKey = (a: readonly number[], b: readonly number[]): number => (a[0] as number) - (b[0] as number);
      expect([...large].sort(byKey)).toEqual([...map].sort(byKey));
      expect([...large.values()].sort()).toEqual([...map.values()].sort());
    }),
  );
});
