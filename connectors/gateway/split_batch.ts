import { setImmediate as nextTurn } from 'node:timers/promises';
import { decodeUtf8, InvalidJsonError } from '#kernel/exact/exact_json';
import { TooManyEventsError } from './errors.ts';

const LINE_FEED = 0x0a;
const OPEN_LIST = 0x5b;
/** So much is looked at in one turn of the event loop, characters. */
const LENGTH_PER_TURN = 512 * 1_024;

/**
 * Takes a batch's body apart, as NDJSON or as a JSON array, without parsing its events: each stays as its client has written it. An array that
 * does not end, or is not UTF-8, is one bad event.
 *
 * @throws {@link TooManyEventsError} before anything of it is parsed
 */
export async function splitBatch(body: Buffer, maxItems: number): Promise<readonly (Buffer | string)[]> {
  const start = firstByte(body);
  return body[start] === OPEN_LIST ? splitArray(body, maxItems) : splitLines(body, maxItems);
}

/** Where the first thing is that is neither white space nor a byte order mark. */
function firstByte(body: Buffer): number {
  let at = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0;
  while (isSpace(body[at])) at += 1;
  return at;
}

const isSpace = (code: number | undefined): boolean =>
  code === 0x20 || code === LINE_FEED || code === 0x0d || code === 0x09;

/** Decoded at once where all of it is UTF-8; otherwise each line is on its own. */
async function splitLines(body: Buffer, maxItems: number): Promise<readonly (Buffer | string)[]> {
  const text = decoded(body);
  return text === undefined ? linesOf(body, maxItems) : linesOf(text, maxItems);
}

async function linesOf<T extends Buffer | string>(body: T, maxItems: number): Promise<readonly T[]> {
  const lines: T[] = [];
  let lookedAt = 0;
  for (let from = 0; from < body.length; ) {
    const found = body.indexOf('\n', from);
    const end = found === -1 ? body.length : found;
    let first = from;
    while (first < end && isSpace(codeAt(body, first))) first += 1;
    if (first < end) {
      if (lines.length === maxItems) throw new TooManyEventsError(maxItems);
      lines.push((typeof body === 'string' ? body.slice(from, end) : body.subarray(from, end)) as T);
    }
    from = end + 1;
    if (from - lookedAt > LENGTH_PER_TURN) {
      lookedAt = from;
      await nextTurn();
    }
  }
  return lines;
}

const codeAt = (body: Buffer | string, at: number): number | undefined =>
  typeof body === 'string' ? body.charCodeAt(at) : body[at];

function decoded(body: Buffer): string | undefined {
  try {
    return decodeUtf8(body);
  } catch (error) {
    if (error instanceof InvalidJsonError) return undefined;
    throw error;
  }
}

async function splitArray(body: Buffer, maxItems: number): Promise<readonly (Buffer | string)[]> {
  const text = decoded(body);
  if (text === undefined) return [body];
  const items: string[] = [];
  let at = text.indexOf('[') + 1;
  let from = at;
  let lookedAt = at;
  let depth = 0;
  const token = /["[\]{},]/g;
  for (;;) {
    token.lastIndex = at;
    const code = token.exec(text)?.[0];
    at = token.lastIndex;
    if (code === undefined) return [body];
    if (code === '"') at = stringEnd(text, at);
    else if (code === '[' || code === '{') depth += 1;
    else if (code === ',') {
      if (depth === 0) {
        if (items.length === maxItems) throw new TooManyEventsError(maxItems);
        items.push(text.slice(from, at - 1));
        from = at;
      }
    } else if (depth > 0) depth -= 1;
    else {
      const last = text.slice(from, at - 1);
      const isEmpty = items.length === 0 && last.trim() === '';
      if (code !== ']' || text.slice(at).trim() !== '') return [body];
      if (isEmpty) return [];
      if (items.length === maxItems) throw new TooManyEventsError(maxItems);
      items.push(last);
      return items;
    }
    if (at === 0) return [body];
    if (at - lookedAt > LENGTH_PER_TURN) {
      lookedAt = at;
      await nextTurn();
    }
  }
}

/** @returns where the text continues after a string's end; 0: it has none */
function stringEnd(text: string, from: number): number {
  for (let end = text.indexOf('"', from); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes += 1;
    if (backslashes % 2 === 0) return end + 1;
  }
  return 0;
}
