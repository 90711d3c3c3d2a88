import { isIPv6 } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { Limit } from './config.ts';

/** Requests of a caller in its current window. */
export interface Counted {
  readonly isExceeded: boolean;
  readonly remaining: number;
  /** Until the window ends, rounded up. */
  readonly resetSeconds: number;
}

interface Window {
  readonly startedMs: number;
  requests: number;
}

/** Callers with a window, at most; the one that has not called for longest is forgotten first. */
const MOST_CALLERS = 20_000;
const NETWORK_GROUPS = 4;

/**
 * Counts requests by caller in fixed windows, in this process. In one step without waiting, so that of requests that arrive together exactly
 * as many pass as may.
 */
export class RequestLimits {
  readonly #windows = new LRUCache<string, Window>({ max: MOST_CALLERS });
  readonly #now: () => number;

  /** @param now - ms, of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Callers that it remembers. */
  get size(): number {
    return this.#windows.size;
  }

  count(caller: string, { requests, windowMs }: Limit): Counted {
    const nowMs = this.#now();
    let window = this.#windows.get(caller);
    if (window === undefined || nowMs - window.startedMs >= windowMs) {
      window = { startedMs: nowMs, requests: 0 };
      this.#windows.set(caller, window);
    }
    window.requests += 1;
    return {
      isExceeded: window.requests > requests,
      remaining: Math.max(0, requests - window.requests),
      resetSeconds: Math.max(1, Math.ceil((window.startedMs + windowMs - nowMs) / 1_000)),
    };
  }
}

/** An address as a caller: of IPv6 its network of 64 bits, all of whose addresses one owner has; IPv4 within IPv6 as IPv4. */
export function callerOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [head = '', tail] = (address.split('%')[0] as string).toLowerCase().split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length);
  const groups = [...first, ...Array.from({ length: zeros }, () => '0'), ...last].map((group) =>
    group.replace(/^0+(?=.)/, ''),
  );
  return `${groups.slice(0, NETWORK_GROUPS).join(':')}::/64`;
}
