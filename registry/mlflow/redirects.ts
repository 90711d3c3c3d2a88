import type { RequestInit, Response } from 'node-fetch';
import { messageOf } from '#kernel/errors';

const MOST_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** A redirect that is not followed; trying again leads to the same. */
export class RefusedRedirectError extends Error {}

/**
 * Fetches, following redirects by hand: only where a request reads, at most five, never from https to http, and without credentials once
 * another origin is reached, also after it leads back.
 *
 * @param credentials - headers for the origin of `url` alone
 * @throws {@link RefusedRedirectError} naming where it leads
 */
export async function fetchFollowing(
  url: string,
  init: RequestInit & { readonly headers: Readonly<Record<string, string>> },
  credentials: Readonly<Record<string, string>>,
): Promise<Response> {
  // Commands that have MLflow in their configuration and do not reach it start without it.
  const { default: fetch } = await import('node-fetch');
  const { origin } = new URL(url);
  let target = new URL(url);
  let isOwn = true;
  for (let followed = 0; ; followed += 1) {
    isOwn &&= target.origin === origin;
    const headers = { ...init.headers, ...(isOwn ? credentials : {}) };
    const response = await fetch(target.href, { ...init, headers, redirect: 'manual' });
    if (!REDIRECTS.has(response.status)) return response;
    const location = response.headers.get('location');
    // What it says is of no interest, and keeps the connection.
    response.body?.resume?.();
    target = nextOf(target, location, init.method ?? 'GET');
    if (followed === MOST_REDIRECTS) throw new RefusedRedirectError(`it redirects more than ${MOST_REDIRECTS} times`);
  }
}

function nextOf(from: URL, location: string | null, method: string): URL {
  let next: URL;
  try {
    next = new URL(location ?? '', from);
  } catch (error) {
    throw new RefusedRedirectError(`it redirects to what is no URL: ${messageOf(error)}`);
  }
  const shown = `${next.origin}${next.pathname}`;
  if (method !== 'GET')
    throw new RefusedRedirectError(
      `it redirects a ${method} to ${shown}: give its own address in registry.trackingUri`,
    );
  if (!/^https?:$/.test(next.protocol))
    throw new RefusedRedirectError(`it redirects to ${shown}: only http and https are followed`);
  if (from.protocol === 'https:' && next.protocol !== 'https:') {
    throw new RefusedRedirectError(`it redirects from https to ${shown}, which is plain http`);
  }
  // Credentials in the address would be sent as a login.
  next.username = '';
  next.password = '';
  return next;
}
