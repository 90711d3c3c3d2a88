import { InvalidJsonError, parseExactJsonBytes } from '#kernel/exact/exact_json';
import { DamagedFileError } from './errors.ts';

/**
 * Parses a JSON file that users or other programs write, exactly as it is: repeated keys, bytes that are not UTF-8, numbers that no double holds, NUL
 * and lone surrogates are refused, each with its path.
 *
 * @param remedy - what to do about a file that is refused
 * @throws {@link DamagedFileError} naming the file and every such place
 */
export function parseJsonFile(file: string, bytes: Uint8Array, remedy: string): unknown {
  try {
    return parseExactJsonBytes(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    if (!(error instanceof InvalidJsonError)) throw error;
    throw new DamagedFileError(file, 0, `it holds no JSON that can be used (${error.problems})`, remedy);
  }
}
