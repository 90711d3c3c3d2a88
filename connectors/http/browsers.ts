import type { FastifyRequest } from 'fastify';
import { isLoopback } from '#monitoring/http/routes/route_access';
import { ForeignOriginError, UnknownHostError } from './errors.ts';

// Against pages in the browser of a user who may call the listener, by a key or from this machine.

const READS = new Set(['GET', 'HEAD', 'OPTIONS']);
/** What browsers send in `Sec-Fetch-Site` for a request that no other page made. */
const OWN_SITE = ['same-origin', 'none'];

/**
 * Refuses names that were made to resolve to a loopback address (DNS rebinding): to the browser such a page has the listener's own origin.
 *
 * @throws {@link UnknownHostError}
 */
export function checkHost({ headers: { host } }: FastifyRequest, allowed: ReadonlySet<string>): void {
  if (host === undefined || allowed.has(host)) return;
  const name = host.replace(/:\d+$/, '').toLowerCase();
  if (!isLoopback(name) && !allowed.has(name)) throw new UnknownHostError(host);
}

/**
 * Refuses requests that change something and come from a page of another origin. Clients that are no browsers send no `Origin`.
 *
 * @param ownOnly - whether `allowed` does not count
 * @throws {@link ForeignOriginError}
 */
export function checkOrigin(request: FastifyRequest, allowed: ReadonlySet<string>, ownOnly: boolean): void {
  if (READS.has(request.method)) return;
  const { origin, host } = request.headers;
  if (origin === undefined) {
    const site = request.headers['sec-fetch-site'];
    if (site === undefined || OWN_SITE.includes(String(site))) return;
    throw new ForeignOriginError(`(${String(site)})`, ownOnly);
  }
  if (!ownOnly && (allowed.has(origin) || allowed.has('*'))) return;
  if (!isOwn(origin, host)) throw new ForeignOriginError(origin, ownOnly);
}

/** Scheme, host and port, and nothing else (RFC 6454, section 7). */
const ORIGIN = /^https?:\/\/[^\s/?#@\\]+$/i;

/** By host and port: what ends TLS in front may have changed the scheme. */
function isOwn(origin: string, host: string | undefined): boolean {
  if (host === undefined || !ORIGIN.test(origin) || !URL.canParse(origin)) return false;
  const { host: sent, protocol } = new URL(origin);
  const own = `${protocol}//${host}`;
  return ORIGIN.test(own) && URL.canParse(own) && new URL(own).host === sent;
}
