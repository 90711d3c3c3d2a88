import type { Header } from '../connector.ts';

/** Headers as JSON, values in base64: for brokers whose records cannot hold them as they are. */
export const encodeHeaders = (headers: readonly Header[]): string =>
  JSON.stringify(headers.map(([name, value]) => [name, value?.toString('base64') ?? null]));

/** Headers that are not those of {@link encodeHeaders} are none. */
export function decodeHeaders(text: string): readonly Header[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return [];
  }
  if (!Array.isArray(parsed)) return [];
  return parsed.flatMap((entry: unknown): Header[] => {
    if (!Array.isArray(entry) || typeof entry[0] !== 'string') return [];
    return [[entry[0], typeof entry[1] === 'string' ? Buffer.from(entry[1], 'base64') : null]];
  });
}
