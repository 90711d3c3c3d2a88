import type { ColumnMetaData, SchemaElement } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { decompressPage } from 'hyparquet/src/datapage.js';
import { readRleBitPackedHybrid } from 'hyparquet/src/encoding.js';
import { readPlain } from 'hyparquet/src/plain.js';
import { COMPRESSORS } from './compressors.ts';

type Numbers = Float64Array | Float32Array;
const ARRAYS = { DOUBLE: Float64Array, FLOAT: Float32Array } as const;

interface Reader {
  readonly view: DataView;
  offset: number;
}

/** Whether a column is one of plain numbers, which {@link readFlatNumbers} may read. @param element - of the schema, for the column's name alone */
export const isFlatNumbers = ({ path_in_schema: path, type }: ColumnMetaData, element: SchemaElement): boolean =>
  path.length === 1 &&
  (type === 'DOUBLE' || type === 'FLOAT') &&
  element.repetition_type !== 'REPEATED' &&
  element.converted_type === undefined &&
  element.logical_type === undefined;

/**
 * Reads a column chunk of numbers without missing ones into a typed array; hyparquet makes a list of numbers and a list of definition levels of it.
 *
 * @param bytes - of the chunk, from its first page
 * @returns undefined for what only hyparquet reads: missing values, other encodings, another number of rows
 * @throws what decompressing fails with
 */
export function readFlatNumbers(
  bytes: ArrayBuffer,
  { type, codec }: ColumnMetaData,
  { repetition_type: repetition }: SchemaElement,
  rows: number,
): Numbers | undefined {
  const Kind = ARRAYS[type as keyof typeof ARRAYS];
  const reader: Reader = { view: new DataView(bytes), offset: 0 };
  const isOptional = repetition !== 'REQUIRED';
  let dictionary: Numbers | undefined;
  let column: Numbers | undefined;
  for (let from = 0; from < rows; ) {
    if (reader.offset >= bytes.byteLength) return undefined;
    const header = parquetHeader(reader);
    const compressed = new Uint8Array(bytes, reader.offset, header.compressed_page_size);
    reader.offset += header.compressed_page_size;
    const { dictionary_page_header: ofDictionary, data_page_header: first, data_page_header_v2: second } = header;
    if (ofDictionary !== undefined) {
      const page = decompressPage(compressed, header.uncompressed_page_size, codec, COMPRESSORS);
      dictionary = readPlain(readerOf(page), type, ofDictionary.num_values, undefined) as Numbers;
      continue;
    }
    const of = first ?? second;
    if (of === undefined) return undefined;
    const count = of.num_values;
    let page: Reader;
    if (second === undefined) {
      page = readerOf(decompressPage(compressed, header.uncompressed_page_size, codec, COMPRESSORS));
      if (isOptional && !passDefined(page, count)) return undefined;
    } else {
      if (second.num_nulls !== 0) return undefined;
      const levels = second.repetition_levels_byte_length + second.definition_levels_byte_length;
      const values = compressed.subarray(levels);
      const size = header.uncompressed_page_size - levels;
      page = readerOf(second.is_compressed === false ? values : decompressPage(values, size, codec, COMPRESSORS));
    }
    const values = valuesOf(page, type as keyof typeof ARRAYS, of.encoding, count, dictionary);
    if (values === undefined || from + count > rows) return undefined;
    if (count === rows) return values;
    column ??= new Kind(rows);
    column.set(values, from);
    from += count;
  }
  return column;
}

const readerOf = ({ buffer, byteOffset, byteLength }: Uint8Array): Reader => ({
  view: new DataView(buffer, byteOffset, byteLength),
  offset: 0,
});

function valuesOf(
  page: Reader,
  type: keyof typeof ARRAYS,
  encoding: string,
  count: number,
  dictionary: Numbers | undefined,
): Numbers | undefined {
  if (encoding === 'PLAIN') return readPlain(page, type, count, undefined) as Numbers;
  if (dictionary === undefined || !encoding.endsWith('_DICTIONARY')) return undefined;
  const width = page.view.getUint8(page.offset);
  page.offset += 1;
  const places = new Array<number>(count).fill(0);
  if (width > 0) readRleBitPackedHybrid(page, width, places, page.view.byteLength - page.offset);
  const values = new ARRAYS[type](count);
  for (let at = 0; at < count; at += 1) values[at] = dictionary[places[at] as number] as number;
  return values;
}

/** Passes over definition levels of one bit, of a page of version 1. @returns false where one says that its value is missing */
function passDefined(page: Reader, count: number): boolean {
  const { view } = page;
  const end = page.offset + 4 + view.getUint32(page.offset, true);
  let at = page.offset + 4;
  for (let seen = 0; seen < count; ) {
    let head = 0;
    for (let shift = 0; ; shift += 7) {
      if (at >= end) return false;
      const byte = view.getUint8(at);
      at += 1;
      head |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    if ((head & 1) === 0) {
      if (at >= end || view.getUint8(at) !== 1) return false;
      at += 1;
      seen += head >>> 1;
      continue;
    }
    for (let group = head >>> 1; group > 0 && seen < count; group -= 1) {
      const expected = count - seen >= 8 ? 0xff : (1 << (count - seen)) - 1;
      if (at >= end || (view.getUint8(at) & expected) !== expected) return false;
      at += 1;
      seen += 8;
    }
  }
  page.offset = end;
  return true;
}
