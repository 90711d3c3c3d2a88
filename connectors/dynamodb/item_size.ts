import type { AttributeValue } from '@aws-sdk/client-dynamodb';

/** Of an item, with the names of its attributes. Source: "Constraints in Amazon DynamoDB". Keys of entities are shorter than DynamoDB's 2,048 bytes. */
const MOST_ITEM_BYTES = 400 * 1_024;

/** An item as DynamoDB's API has it. */
export type Item = Readonly<Record<string, AttributeValue>>;

/** A number takes a byte for two digits, and one more; never more than this. */
const MOST_NUMBER_BYTES = 21;

/**
 * Returns the size of an item of strings and numbers, as DynamoDB measures it: names and values in UTF-8.
 * Numbers count with the most that one takes.
 */
export function itemBytes(item: Item): number {
  let bytes = 0;
  for (const [name, value] of Object.entries(item))
    bytes += Buffer.byteLength(name) + (value.S === undefined ? MOST_NUMBER_BYTES : Buffer.byteLength(value.S));
  return bytes;
}

/** Returns why DynamoDB does not take an item of strings and numbers; undefined where it does. */
export function itemProblem(item: Item): string | undefined {
  const bytes = itemBytes(item);
  return bytes > MOST_ITEM_BYTES ? `it has ${bytes} bytes, and DynamoDB takes ${MOST_ITEM_BYTES}` : undefined;
}
