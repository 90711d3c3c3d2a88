import { StringDecoder } from 'node:string_decoder';

const LONGEST_CHARS = 16_384;

/** Returns a listener of a stream that calls `onLine` with each line; one that is too long is cut into several. */
export function lineReader(onLine: (line: string) => void): (chunk: Buffer) => void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  return (chunk) => {
    const lines = `${rest}${decoder.write(chunk)}`.split(/\r?\n/);
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
    if (rest.length > LONGEST_CHARS) {
      onLine(rest);
      rest = '';
    }
  };
}
