/**
 * Returns the event time of the oldest row that may be read at `atMs`. A ttl of 0 keeps rows for ever, as in Feast; a row that is exactly as old as the ttl is still read: the same
 * online, in history and in training sets.
 */
export const oldestReadable = (atMs: number, ttlMs: number | undefined): number =>
  ttlMs === undefined || ttlMs === 0 ? Number.NEGATIVE_INFINITY : atMs - ttlMs;
