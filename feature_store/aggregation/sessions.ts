import type { SessionFeature } from '#feature_store/definitions/feature';
import { SECOND_MS } from '#kernel/time';

/** Events with less than a gap between one and the next. Plain data. */
export interface Session {
  start: number;
  end: number;
  events: number;
}

/** Returns the sessions with an event counted into its own, in any order; one that lies between two makes them one. Oldest first; those given stay as they are. */
export function withEvent(given: readonly Session[], gapMs: number, eventTimeMs: number): Session[] {
  const sessions = [...given];
  let at = sessions.length;
  while (at > 0 && (sessions[at - 1] as Session).start > eventTimeMs) at -= 1;
  const before = sessions[at - 1];
  const after = sessions[at];
  const joinsAfter = after !== undefined && after.start - eventTimeMs < gapMs;
  if (before !== undefined && eventTimeMs - before.end < gapMs) {
    const end = Math.max(before.end, eventTimeMs, joinsAfter ? after.end : eventTimeMs);
    const events = before.events + 1 + (joinsAfter ? after.events : 0);
    sessions.splice(at - 1, joinsAfter ? 2 : 1, { start: before.start, end, events });
  } else if (joinsAfter) sessions[at] = { start: eventTimeMs, end: after.end, events: after.events + 1 };
  else sessions.splice(at, 0, { start: eventTimeMs, end: eventTimeMs, events: 1 });
  return sessions;
}

/** Drops sessions that no event still to come can join. */
export function dropSessions(sessions: Session[], gapMs: number, oldestEventMs: number): void {
  let count = 0;
  while (count < sessions.length - 1 && (sessions[count] as Session).end + gapMs <= oldestEventMs) count += 1;
  if (count > 0) sessions.splice(0, count);
}

/** @returns when the session that is open at `asOfMs` ends, should nothing more happen */
export function sessionEndsAt(sessions: readonly Session[], gapMs: number, asOfMs: number): number | undefined {
  const last = sessions[sessions.length - 1];
  return last !== undefined && last.end + gapMs > asOfMs ? last.end + gapMs : undefined;
}

/** Returns the session that is open at a time; undefined where there is none. */
export function currentSession(sessions: readonly Session[], gapMs: number, asOfMs: number): Session | undefined {
  const current = sessions.findLast(({ start }) => start <= asOfMs);
  return current === undefined || asOfMs - current.end >= gapMs ? undefined : current;
}

/** As of an event out of order, only what its session had begun with is returned, and that event: what came later is not known yet. */
export function measureSession(
  sessions: readonly Session[],
  { gapMs, measure }: SessionFeature,
  asOfMs: number,
): boolean | number {
  const current = currentSession(sessions, gapMs, asOfMs);
  if (current === undefined) return measure === 'is_active' ? false : 0;
  const isBehind = asOfMs < current.end;
  switch (measure) {
    case 'is_active':
      return true;
    case 'events':
      return isBehind ? 1 : current.events;
    case 'duration_seconds':
      return (Math.min(asOfMs, current.end) - current.start) / SECOND_MS;
  }
}
