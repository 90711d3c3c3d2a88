export type JsonPrimitive = string | number | boolean | null;
export type JsonValue = JsonPrimitive | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined;
}

/** JSON with the fields of every object in order, so that equal values give equal text. Bigints are marked as such. */
export const canonicalJson = (value: unknown): string => JSON.stringify(value, sortFields);

/** Reads {@link canonicalJson}. */
export const parseCanonicalJson = (text: string): unknown => JSON.parse(text, reviveBigints);

function reviveBigints(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('$bigint' in value)) return value;
  return BigInt(value.$bigint as string);
}

function sortFields(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return { $bigint: value.toString() };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
