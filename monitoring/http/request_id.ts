import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

export const REQUEST_ID = 'x-request-id';
const SENSIBLE = /^[\w.:-]{1,128}$/;

/** The caller's own id when it sent a sensible one: it goes into logs, traces and answers as it is. */
export function requestIdIn(headers: IncomingHttpHeaders): string {
  const given = headers[REQUEST_ID];
  return typeof given === 'string' && SENSIBLE.test(given) ? given : randomUUID();
}
