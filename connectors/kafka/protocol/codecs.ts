import * as zlib from 'node:zlib';
import { compressFrameSync, decompressFrameSync } from 'lz4-napi';
import snappy from 'snappy';
import { COMPRESSIONS, type Compression } from './compressions.ts';

interface Codec {
  readonly compress: (bytes: Buffer) => Buffer;
  readonly decompress: (bytes: Buffer) => Buffer;
}

/** How a producer packs its batches. */
export interface BatchCompression extends Codec {
  /** Its number in a batch's attributes. */
  readonly attribute: number;
}

/** @returns undefined for `none` */
export async function compressionOf(name: Compression): Promise<BatchCompression | undefined> {
  if (name === 'none') return undefined;
  const attribute = COMPRESSIONS.indexOf(name);
  return { ...(await codecOf(attribute)), attribute };
}

/** A batch that unpacks to more is damaged, or made to fill the memory. */
const MOST_UNPACKED_BYTES = 512 * 1024 * 1024;
/** How snappy-java begins its stream: a magic, its version and the lowest version that can read it. */
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);
const XERIAL_HEADER_BYTES = 16;

/** @throws Error for a compression that the protocol does not have */
export async function codecOf(compression: number): Promise<Codec> {
  switch (COMPRESSIONS[compression]) {
    case 'none':
      return { compress: (bytes) => bytes, decompress: (bytes) => bytes };
    case 'gzip':
      return {
        compress: (bytes) => zlib.gzipSync(bytes),
        decompress: (bytes) => zlib.gunzipSync(bytes, { maxOutputLength: MOST_UNPACKED_BYTES }),
      };
    case 'snappy':
      return { compress: (bytes) => snappy.compressSync(bytes), decompress: decompressSnappy };
    case 'lz4':
      return { compress: (bytes) => compressFrameSync(bytes), decompress: (bytes) => decompressFrameSync(bytes) };
    case 'zstd':
      return zstd();
    default:
      throw new Error(`compression ${compression} is not one of ${COMPRESSIONS.join(', ')}`);
  }
}

/** Kafka's Java client writes snappy-java's stream of length-prefixed blocks; librdkafka writes one raw block. */
function decompressSnappy(bytes: Buffer): Buffer {
  if (!bytes.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC)) return decompressBlock(bytes);
  const blocks: Buffer[] = [];
  for (let at = XERIAL_HEADER_BYTES; at < bytes.length; ) {
    const length = bytes.readInt32BE(at);
    const end = at + 4 + length;
    if (length < 0 || end > bytes.length) throw new Error(`a snappy block of ${length} bytes is longer than its batch`);
    blocks.push(decompressBlock(bytes.subarray(at + 4, end)));
    at = end;
  }
  return Buffer.concat(blocks);
}

function decompressBlock(block: Buffer): Buffer {
  // The block begins with its unpacked length, as a varint of up to 32 bits.
  let unpacked = 0;
  for (let index = 0; index < Math.min(5, block.length); index += 1) {
    const byte = block[index] as number;
    unpacked += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) break;
  }
  if (unpacked > MOST_UNPACKED_BYTES) throw new Error(`a snappy block unpacks to ${unpacked} bytes`);
  return snappy.uncompressSync(block, { asBuffer: true }) as Buffer;
}

let loaded: Promise<Codec> | undefined;

/** Node's own from 22.15 on; before that, zstd in WebAssembly. */
function zstd(): Promise<Codec> {
  loaded ??= loadZstd();
  return loaded;
}

interface NodeZstd {
  zstdCompressSync?(bytes: Buffer): Buffer;
  zstdDecompressSync?(bytes: Buffer, options: { maxOutputLength: number }): Buffer;
}

async function loadZstd(): Promise<Codec> {
  const { zstdCompressSync, zstdDecompressSync } = zlib as NodeZstd;
  if (zstdCompressSync !== undefined && zstdDecompressSync !== undefined) {
    return {
      compress: (bytes) => zstdCompressSync(bytes),
      decompress: (bytes) => zstdDecompressSync(bytes, { maxOutputLength: MOST_UNPACKED_BYTES }),
    };
  }
  const { Zstd } = await import('@hpcc-js/wasm-zstd');
  const wasm = await Zstd.load();
  return {
    compress: (bytes) => Buffer.from(wasm.compress(bytes)),
    decompress: (bytes) => {
      // Its memory is reused: what is returned must be a copy.
      return Buffer.from(wasm.decompress(bytes));
    },
  };
}
