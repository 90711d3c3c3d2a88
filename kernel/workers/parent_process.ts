/**
 * Calls `then` once the process that has started this one over a channel is gone, however it ended: at once where it went while this one was loading, of which no event comes. Without a
 * channel it is never called.
 */
export function whenParentIsGone(then: () => void): void {
  if (process.connected === false) then();
  else process.once('disconnect', then);
}
