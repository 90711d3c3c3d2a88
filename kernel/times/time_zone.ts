import { HOUR_MS } from '../time.ts';

// Times as clocks on walls show them, in the zones of the IANA database that Node carries.

const formats = new Map<string, Intl.DateTimeFormat>();

/** Whether Node knows a zone such as `Europe/Berlin`. */
export function isTimeZone(zone: string): boolean {
  try {
    formatOf(zone);
    return true;
  } catch {
    return false;
  }
}

function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      ...{ timeZone: zone, calendar: 'iso8601', hourCycle: 'h23', era: 'short' },
      ...{ year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric' },
    });
    formats.set(zone, format);
  }
  return format;
}

/** Offsets by zone and hour: a zone's offset changes at whole quarters of an hour at the most. */
const offsets = new Map<string, Map<number, number>>();
const QUARTER_MS = HOUR_MS / 4;
const MOST_KEPT = 100_000;

/** Returns how far a zone's clocks are ahead of UTC at an instant, ms. */
export function zoneOffsetMs(instantMs: number, zone: string): number {
  const quarter = Math.floor(instantMs / QUARTER_MS);
  let ofZone = offsets.get(zone);
  if (ofZone === undefined || ofZone.size >= MOST_KEPT) {
    ofZone = new Map();
    offsets.set(zone, ofZone);
  }
  let offset = ofZone.get(quarter);
  if (offset === undefined) {
    offset = wallClockMs(quarter * QUARTER_MS, zone) - quarter * QUARTER_MS;
    ofZone.set(quarter, offset);
  }
  return offset;
}

function wallClockMs(instantMs: number, zone: string): number {
  const parts: Record<string, string> = {};
  for (const { type, value } of formatOf(zone).formatToParts(instantMs)) parts[type] = value;
  const { year, month, day, hour, minute, second } = parts as Readonly<Record<string, string>>;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  return date.setUTCHours(Number(hour), Number(minute), Number(second));
}

/** Zones are at most so far apart. */
const FURTHEST_MS = 26 * HOUR_MS;

/**
 * Returns the instant at which a zone's clocks show a time: the first of two, when they show it twice.
 *
 * @param localMs - what they show, as ms since 1970 of the same time in UTC
 * @returns what is wrong, to follow the time in a message, when they are set forward over it
 */
export function instantOf(localMs: number, zone: string): number | string {
  if (zone === 'UTC') return localMs;
  const before = zoneOffsetMs(localMs - FURTHEST_MS, zone);
  const after = zoneOffsetMs(localMs + FURTHEST_MS, zone);
  // The larger offset gives the earlier instant.
  for (const offset of new Set([Math.max(before, after), Math.min(before, after)])) {
    if (zoneOffsetMs(localMs - offset, zone) === offset) return localMs - offset;
  }
  return `clocks in ${zone} never show: they are set forward over it. Write times with their offset or in UTC`;
}
