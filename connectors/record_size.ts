import type { OutgoingRecord } from './connector.ts';

/** A UTF-16 unit is at most so many bytes in UTF-8. */
const MOST_BYTES_A_UNIT = 3;

/** Bytes of a record's key, value and headers in UTF-8, without what a broker adds. */
export function recordBytes({ key, value, headers }: OutgoingRecord): number {
  let bytes = (key === undefined ? 0 : Buffer.byteLength(key)) + bytesOf(value);
  if (headers !== undefined) {
    for (const [name, header] of Object.entries(headers)) bytes += Buffer.byteLength(name) + Buffer.byteLength(header);
  }
  return bytes;
}

/** Returns no less than {@link recordBytes}, without reading the texts. */
export function mostRecordBytes({ key, value, headers }: OutgoingRecord): number {
  let units = (key?.length ?? 0) + (value?.length ?? 0);
  if (headers !== undefined) for (const name in headers) units += name.length + (headers[name]?.length ?? 0);
  return MOST_BYTES_A_UNIT * units;
}

const bytesOf = (value: OutgoingRecord['value']): number =>
  value === null ? 0 : typeof value === 'string' ? Buffer.byteLength(value) : value.length;
