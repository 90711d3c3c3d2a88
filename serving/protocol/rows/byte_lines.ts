import type { Readable } from 'node:stream';

const LINE_FEED = 0x0a;

/** A line without its end; undefined: it was longer than is read. */
export type ByteLine = Buffer | undefined;

/** Takes a stream of bytes apart at line feeds; a longer line than `maxBytes` is passed over, and the next one is read again. */
export async function* byteLines(stream: Readable, maxBytes: number): AsyncGenerator<ByteLine> {
  let parts: Buffer[] = [];
  let bytes = 0;
  let isTooLong = false;
  const add = (part: Buffer): void => {
    bytes += part.length;
    isTooLong ||= bytes > maxBytes;
    if (isTooLong) parts = [];
    else parts.push(part);
  };
  const take = (): ByteLine => {
    const line = isTooLong ? undefined : parts.length === 1 ? parts[0] : Buffer.concat(parts);
    parts = [];
    bytes = 0;
    isTooLong = false;
    return line;
  };
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, from)) {
      add(chunk.subarray(from, end));
      yield take();
      from = end + 1;
    }
    if (from < chunk.length) add(chunk.subarray(from));
  }
  if (bytes > 0) yield take();
}
