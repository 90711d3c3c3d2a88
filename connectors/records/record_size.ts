import type { OutgoingRecord } from '../connector.ts';

/** A UTF-16 unit is at most so many bytes in UTF-8. */
const MOST_BYTES_A_UNIT = 3;

/** Bytes of a record's key, value and headers, strings in UTF-8, without what a broker adds. */
export function recordBytes({ key, keyBytes, value, headers, headerList }: OutgoingRecord): number {
  let bytes = (keyBytes?.length ?? (key === undefined ? 0 : Buffer.byteLength(key))) + bytesOf(value);
  if (headerList !== undefined) {
    for (const [name, header] of headerList) bytes += Buffer.byteLength(name) + (header?.length ?? 0);
  } else if (headers !== undefined) {
    for (const [name, header] of Object.entries(headers)) bytes += Buffer.byteLength(name) + Buffer.byteLength(header);
  }
  return bytes;
}

/** Returns no less than {@link recordBytes}, without reading the strings. */
export function mostRecordBytes({ key, keyBytes, value, headers, headerList }: OutgoingRecord): number {
  let units = (keyBytes?.length ?? key?.length ?? 0) + (value?.length ?? 0);
  if (headerList !== undefined) for (const [name, header] of headerList) units += name.length + (header?.length ?? 0);
  else if (headers !== undefined) for (const name in headers) units += name.length + (headers[name]?.length ?? 0);
  return MOST_BYTES_A_UNIT * units;
}

const bytesOf = (value: OutgoingRecord['value']): number =>
  value === null ? 0 : typeof value === 'string' ? Buffer.byteLength(value) : value.length;
