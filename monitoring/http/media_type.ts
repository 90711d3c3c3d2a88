/** A content-type header, read. */
export interface MediaType {
  /** Lower case, without parameters; empty where the header is absent. */
  readonly type: string;
  /** Lower case, unquoted. */
  readonly charset: string | undefined;
}

const MOST_KEPT = 100;
const kept = new Map<string, MediaType>();
const NONE: MediaType = { type: '', charset: undefined };
const CHARSET = /;[ \t]*charset[ \t]*=[ \t]*(?:"([^"]*)"|([^;\s]*))/i;

/** Reads a content-type header (RFC 9110, section 8.3). */
export function mediaTypeOf(header: string | undefined): MediaType {
  if (header === undefined) return NONE;
  const known = kept.get(header);
  if (known !== undefined) return known;
  const [type = ''] = header.split(';');
  const charset = CHARSET.exec(header);
  const read = { type: type.trim().toLowerCase(), charset: (charset?.[1] ?? charset?.[2])?.toLowerCase() };
  // Few clients' headers; made-up ones are not collected.
  if (kept.size < MOST_KEPT && header.length < 200) kept.set(header, read);
  return read;
}

/** Whether text is declared as UTF-8, or not declared: JSON is UTF-8 (RFC 8259, section 8.1). */
export const isUtf8Label = ({ charset }: MediaType): boolean =>
  charset === undefined || charset === 'utf-8' || charset === 'utf8';

/** `application/json` and types made of it, such as `application/problem+json`. */
export const isJsonType = ({ type }: MediaType): boolean =>
  type === 'application/json' || type === 'text/json' || /^[\w.-]+\/[\w.+-]+\+json$/.test(type);
