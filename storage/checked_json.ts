import { readFile } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { replaceFile } from './durable_files.ts';
import { DamagedFileError, ifMissing, onDisk } from './errors.ts';

const envelopeSchema = z.strictObject({
  format: z.literal('headwater-checked-json-1'),
  crc32: z.string(),
  value: z.unknown(),
});

const checksum = (value: unknown): string => crc32(JSON.stringify(value)).toString(16).padStart(8, '0');

/** Returns the text of a small state file: the value and a checksum of it. */
export function checkedJson(value: unknown): string {
  const plain: unknown = JSON.parse(JSON.stringify(value));
  return `${JSON.stringify({ format: 'headwater-checked-json-1', crc32: checksum(plain), value: plain }, undefined, 2)}\n`;
}

/** Replaces a small state file as a whole, with a checksum. */
export function writeCheckedJson(file: string, value: unknown): Promise<void> {
  return replaceFile(file, checkedJson(value));
}

/**
 * Reads a small state file.
 *
 * @param before - schema of the same file without a checksum, as earlier versions wrote it
 * @param remedy - what to do about a damaged file
 * @returns undefined where the file does not exist
 * @throws {@link DamagedFileError} for anything that was not written by {@link writeCheckedJson} or an earlier version
 */
export async function readCheckedJson<T>(
  file: string,
  schema: z.ZodType<T>,
  { before, remedy }: { readonly before?: z.ZodType<T>; readonly remedy?: string } = {},
): Promise<T | undefined> {
  const bytes = await onDisk(file, () => readFile(file).catch(ifMissing(undefined)));
  if (bytes === undefined) return undefined;
  return parseCheckedJson(bytes, schema, {
    file,
    ...(before === undefined ? {} : { before }),
    ...(remedy === undefined ? {} : { remedy }),
  });
}

/**
 * Returns the value in the bytes of a small state file, wherever they lie.
 *
 * @throws {@link DamagedFileError}
 */
export function parseCheckedJson<T>(
  bytes: Uint8Array,
  schema: z.ZodType<T>,
  { file, before, remedy }: { readonly file: string; readonly before?: z.ZodType<T>; readonly remedy?: string },
): T {
  const damaged = (problem: string): DamagedFileError => new DamagedFileError(file, 0, problem, remedy);
  let content: unknown;
  try {
    content = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw damaged(`it holds no JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  const envelope = envelopeSchema.safeParse(content);
  if (!envelope.success) {
    const earlier = before?.safeParse(content);
    if (earlier?.success === true) return earlier.data;
    throw damaged('it has neither the form of this version nor that of an earlier one');
  }
  if (checksum(envelope.data.value) !== envelope.data.crc32) throw damaged('its checksum does not match its content');
  const parsed = schema.safeParse(envelope.data.value);
  if (!parsed.success) throw damaged(`its content is not valid: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
