import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import type { Compressors } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';

/** What Parquet's codecs are undone by: Node's own where it has them on every version, WebAssembly for Snappy, JavaScript for Zstandard and LZ4. */
export const COMPRESSORS: Compressors = {
  ...compressors,
  GZIP: (bytes) => gunzipSync(bytes),
  BROTLI: (bytes) => brotliDecompressSync(bytes),
};
