import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatShardPart, isOwn, parseShardPart, partOfChild, type ShardPart } from '#connectors/kinesis/shard_part';

const LAST = 2n ** 128n - 1n;

interface OpenShard {
  readonly id: string;
  readonly from: bigint;
  readonly to: bigint;
}

/** Readers follow every shard they read into its children, whatever happens to the shards. */
test('after any splits and merges, each key has exactly one reader', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), fc.nat()), { maxLength: 25 }),
      fc.array(fc.string(), { minLength: 1, maxLength: 20 }),
      (changes, keys) => {
        let next = 0;
        const shard = (from: bigint, to: bigint): OpenShard => ({ id: `shard-${next++}`, from, to });
        let open: OpenShard[] = [shard(0n, LAST / 2n), shard(LAST / 2n + 1n, LAST)];
        let readers = open.map(({ id, from, to }) => ({
          range: { from, to },
          part: { shardId: id, part: undefined } as ShardPart,
        }));
        const replace = (old: readonly OpenShard[], children: readonly OpenShard[]): void => {
          readers = readers.flatMap((reader) => {
            if (!old.some(({ id }) => id === reader.part.shardId)) return [reader];
            return children.flatMap((child) => {
              const part = partOfChild(reader.range, child.id, child);
              if (part === undefined) return [];
              // As a snapshot would keep it.
              const saved = parseShardPart(formatShardPart(part));
              return [{ part: saved, range: saved.part?.own ?? child }];
            });
          });
          const at = open.indexOf(old[0] as OpenShard);
          open = [...open.slice(0, at), ...children, ...open.slice(at + old.length)];
        };
        for (const [isSplit, which] of changes) {
          const at = which % open.length;
          const one = open[at] as OpenShard;
          const neighbour = open[at + 1];
          if (isSplit) {
            const middle = (one.from + one.to) / 2n;
            replace([one], [shard(one.from, middle), shard(middle + 1n, one.to)]);
          } else if (neighbour !== undefined) {
            replace([one, neighbour], [shard(one.from, neighbour.to)]);
          }
        }
        for (const { id } of open) {
          const own = readers.filter(({ part }) => part.shardId === id);
          // Whatever the key, also one whose hash is not the shard's: put with an explicit hash key.
          for (const key of keys) expect(own.filter(({ part }) => isOwn(part, key))).toHaveLength(1);
        }
      },
    ),
  );
});

test('a name that is none is refused', () => {
  expect(() => parseShardPart('')).toThrow(/names no Kinesis shard/);
});
