import { createHash } from 'node:crypto';

/** Hash keys, both inclusive. */
export interface HashRange {
  readonly from: bigint;
  readonly to: bigint;
}

/**
 * What one reader reads of a shard: all of it, or after a merge the hash keys that its parent had. So each parent's reader goes
 * on into the merged shard by itself, and records of one key stay in order without readers waiting for one another.
 */
export interface ShardPart {
  readonly shardId: string;
  readonly part: { readonly own: HashRange; readonly shard: HashRange } | undefined;
}

const FORMAT = /^([^#]+)(?:#(\d+)-(\d+)\/(\d+)-(\d+))?$/;

/** As a partition's name: `shardId-…`, or with `#from-to/shardFrom-shardTo` for a part. */
export function formatShardPart({ shardId, part }: ShardPart): string {
  if (part === undefined) return shardId;
  const { own, shard } = part;
  return `${shardId}#${own.from}-${own.to}/${shard.from}-${shard.to}`;
}

/** @throws RangeError when it is no name of {@link formatShardPart} */
export function parseShardPart(name: string): ShardPart {
  const [, shardId, from, to, shardFrom, shardTo] = FORMAT.exec(name) ?? [];
  if (shardId === undefined) throw new RangeError(`"${name}" names no Kinesis shard`);
  if (from === undefined) return { shardId, part: undefined };
  const [own, shard] = [
    [from, to],
    [shardFrom, shardTo],
  ].map(([first, last]): HashRange => ({ from: BigInt(first as string), to: BigInt(last as string) }));
  return { shardId, part: { own: own as HashRange, shard: shard as HashRange } };
}

const size = ({ from, to }: HashRange): bigint => to - from + 1n;

/** What is left for the reader of `range` in a child shard; undefined when nothing is. */
export function partOfChild(range: HashRange, shardId: string, child: HashRange): ShardPart | undefined {
  const from = range.from > child.from ? range.from : child.from;
  const to = range.to < child.to ? range.to : child.to;
  if (from > to) return undefined;
  const own = { from, to };
  return { shardId, part: size(own) === size(child) ? undefined : { own, shard: child } };
}

/** A partition key's place among the hash keys: MD5, as Kinesis itself does it. */
export const hashKeyOf = (partitionKey: string): bigint =>
  BigInt(`0x${createHash('md5').update(partitionKey, 'utf8').digest('hex')}`);

/**
 * Whether a record of the shard is for this part. A record that was put with an explicit hash key can have a partition key
 * whose hash lies elsewhere: it is folded into the shard's range, the same way by every reader.
 */
export function isOwn({ part }: ShardPart, partitionKey: string): boolean {
  if (part === undefined) return true;
  const { own, shard } = part;
  let hash = hashKeyOf(partitionKey);
  if (hash < shard.from || hash > shard.to) hash = shard.from + (hash % size(shard));
  return hash >= own.from && hash <= own.to;
}
