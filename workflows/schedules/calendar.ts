import { readFileSync } from 'node:fs';
import { assetPath } from '#kernel/project_root';
import { DAY_MS, MINUTE_MS } from '#kernel/time';
import { instantOf } from '#kernel/times/time_zone';
import { CalendarRangeError } from '../errors.ts';

/** Exchanges with a calendar, by their market identifier code (ISO 10383). */
export const EXCHANGES = ['XNYS', 'XLON', 'XETR', 'XPAR', 'XTKS', 'XHKG', 'XTSE'] as const;
export type Exchange = (typeof EXCHANGES)[number];

interface CalendarFile {
  readonly timeZone: string;
  readonly first: string;
  readonly last: string;
  readonly hours: readonly { readonly from: string; readonly open: string; readonly close: string }[];
  readonly closed: readonly string[];
  readonly otherHours: Readonly<Record<string, readonly [open: string, close: string]>>;
}

/** A trading day. */
export interface Session {
  readonly date: string;
  readonly openMs: number;
  readonly closeMs: number;
}

/** The trading days of an exchange, as calendars/make_calendars.py has written them. */
export class ExchangeCalendar {
  readonly name: Exchange;
  readonly timeZone: string;
  readonly first: string;
  readonly last: string;
  readonly #file: CalendarFile;
  readonly #closed: ReadonlySet<string>;

  constructor(name: Exchange) {
    const path = assetPath(`workflows/schedules/calendars/${name}.json`);
    this.#file = JSON.parse(readFileSync(path, 'utf8')) as CalendarFile;
    this.name = name;
    this.timeZone = this.#file.timeZone;
    this.first = this.#file.first;
    this.last = this.#file.last;
    this.#closed = new Set(this.#file.closed);
  }

  /**
   * Returns the session of a date, `2024-12-24`; undefined where the exchange is closed.
   *
   * @throws {@link CalendarRangeError} for a date without data
   */
  session(date: string): Session | undefined {
    if (date < this.first || date > this.last) throw new CalendarRangeError(this.name, date, this.first, this.last);
    const weekday = new Date(`${date}T00:00:00Z`).getUTCDay();
    if (weekday === 0 || weekday === 6 || this.#closed.has(date)) return undefined;
    const regular = this.#file.hours.filter(({ from }) => from <= date).at(-1) as CalendarFile['hours'][number];
    const [open, close] = this.#file.otherHours[date] ?? [regular.open, regular.close];
    return { date, openMs: this.#instant(date, open), closeMs: this.#instant(date, close) };
  }

  #instant(date: string, time: string): number {
    return instantOf(Date.parse(`${date}T${time}:00Z`), this.timeZone) as number;
  }
}

const calendars = new Map<Exchange, ExchangeCalendar>();

export function calendarOf(exchange: Exchange): ExchangeCalendar {
  const calendar = calendars.get(exchange) ?? new ExchangeCalendar(exchange);
  calendars.set(exchange, calendar);
  return calendar;
}

/** A time of each session: `close`, `30 minutes after close`, `5 minutes before open`. */
export interface SessionTime {
  readonly of: 'open' | 'close';
  readonly offsetMs: number;
}

const SESSION_TIME = /^(?:(\d{1,4}) minutes? (before|after) )?(open|close)$/;
const MOST_MINUTES = 1_440;

/** Returns undefined for what is not a time of a session. */
export function sessionTimeOf(text: string): SessionTime | undefined {
  const [, minutes = '0', side, of] = SESSION_TIME.exec(text) ?? [];
  if (of === undefined || Number(minutes) > MOST_MINUTES) return undefined;
  return { of: of as 'open' | 'close', offsetMs: Number(minutes) * MINUTE_MS * (side === 'before' ? -1 : 1) };
}

export const nextDate = (date: string, days = 1): string =>
  new Date(Date.parse(`${date}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 'YYYY-MM-DD'.length);
