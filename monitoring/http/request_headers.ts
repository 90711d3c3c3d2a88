import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { PlatformError } from '#kernel/errors';
import {
  HostHeaderError,
  RepeatedHeaderError,
  UnsupportedExpectationError,
  UnsupportedTransferCodingError,
} from '../errors.ts';

export const REQUEST_ID = 'x-request-id';
const SENSIBLE_ID = /^[\w.:-]{1,128}$/;

/** Headers of one value that decide something here: which of two counts would differ from proxy to server. */
const SINGLE = new Set([
  ...['host', 'content-type', 'authorization', 'origin', 'x-api-key', 'x-request-timeout-ms', 'sec-fetch-site'],
]);
const isSingle = (name: string): boolean => SINGLE.has(name) || name.startsWith('ce-');

/** Returns the caller's own id when it sent a sensible one: it goes into logs, traces and answers as it is. */
export function requestIdIn(headers: IncomingHttpHeaders): string {
  const given = headers[REQUEST_ID];
  return typeof given === 'string' && SENSIBLE_ID.test(given) ? given : randomUUID();
}

/** Returns what is wrong with a request's headers as HTTP/1.1 has them (RFC 9110, RFC 9112), whatever route they are for. */
export function headerProblem(request: IncomingMessage): PlatformError | undefined {
  const { headers, rawHeaders } = request;
  let names = 0;
  for (const _ in headers) names += 1;
  if (2 * names !== rawHeaders.length) {
    const repeated = repeatedIn(rawHeaders);
    if (repeated === 'host') return new HostHeaderError('has several');
    if (repeated !== undefined) return new RepeatedHeaderError(repeated);
  }
  if (headers.host === undefined && request.httpVersion === '1.1') return new HostHeaderError('has none');
  const { expect, 'transfer-encoding': coding } = headers;
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') return new UnsupportedExpectationError(expect);
  if (coding !== undefined && coding.trim().toLowerCase() !== 'chunked')
    return new UnsupportedTransferCodingError(coding);
  return undefined;
}

function repeatedIn(rawHeaders: readonly string[]): string | undefined {
  const seen = new Set<string>();
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] as string).toLowerCase();
    if (seen.has(name) && isSingle(name)) return name;
    seen.add(name);
  }
  return undefined;
}
