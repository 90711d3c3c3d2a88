import { type Header, keyBytesOf, type LogRecord, lastHeaders, type OutgoingRecord } from '../connector.ts';
import { decodeHeaders, encodeHeaders } from './header_text.ts';

/** Headers under which a log of strings keeps what is none. */
const KEY_BYTES = 'headwater-key-bytes';
const HEADERS = 'headwater-headers';

/** The record with a key and headers that are strings; {@link fromTextRecord} gives back the rest. */
export function toTextRecord(record: OutgoingRecord): OutgoingRecord {
  const { keyBytes, headerList, ...plain } = record;
  if (keyBytes === undefined && headerList === undefined) return record;
  const headers = headerList === undefined ? plain.headers : lastHeaders(headerList);
  return {
    ...plain,
    ...(keyBytes === undefined ? {} : { key: keyBytesOf(record)?.toString('latin1') }),
    headers: {
      ...headers,
      ...(keyBytes === undefined ? {} : { [KEY_BYTES]: keyBytes.toString('base64') }),
      ...(headerList === undefined ? {} : { [HEADERS]: encodeHeaders(headerList) }),
    },
  };
}

export function fromTextRecord(record: LogRecord): LogRecord {
  const { [KEY_BYTES]: key, [HEADERS]: list, ...headers } = record.headers;
  if (key === undefined && list === undefined) return record;
  const keyBytes = key === undefined ? undefined : Buffer.from(key, 'base64');
  const headerList: readonly Header[] | undefined = list === undefined ? undefined : decodeHeaders(list);
  return {
    ...record,
    headers,
    ...(keyBytes === undefined ? {} : { key: keyBytes.toString('utf8'), keyBytes }),
    ...(headerList === undefined ? {} : { headerList }),
  };
}
