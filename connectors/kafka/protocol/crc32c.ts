import { crc32c as native } from '@node-rs/crc32';

/** CRC-32C (Castagnoli), by which record batches are checked. */
export const crc32c = (bytes: Buffer): number => native(bytes);
