const NEWLINE = 0x0a;

/** Splits bytes into lines without their ends: those of each chunk, and what follows the last end. Bytes are decoded by the caller, so that none is altered. */
export async function* byteLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<readonly Buffer[]> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const buffer = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const lines: Buffer[] = [];
    let begin = 0;
    for (let end = buffer.indexOf(NEWLINE); end >= 0; end = buffer.indexOf(NEWLINE, begin)) {
      lines.push(buffer.subarray(begin, end));
      begin = end + 1;
    }
    rest = buffer.subarray(begin);
    yield lines;
  }
  yield [rest];
}
