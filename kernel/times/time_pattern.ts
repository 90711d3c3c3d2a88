import { parseRfc3339 } from './rfc3339.ts';
import { instantOf } from './time_zone.ts';

// Times in forms of their own, as strptime of Python, pandas and DuckDB reads them.

interface Directive {
  readonly pattern: string;
  readonly part: string;
}

const DIRECTIVES: Readonly<Record<string, Directive>> = {
  Y: { pattern: '\\d{4}', part: 'year' },
  y: { pattern: '\\d{2}', part: 'shortYear' },
  m: { pattern: '\\d{1,2}', part: 'month' },
  b: { pattern: '[A-Za-z]{3}', part: 'monthName' },
  B: { pattern: '[A-Za-z]{3,9}', part: 'monthName' },
  d: { pattern: '\\d{1,2}', part: 'day' },
  H: { pattern: '\\d{1,2}', part: 'hour' },
  I: { pattern: '\\d{1,2}', part: 'halfDayHour' },
  p: { pattern: '[AaPp][Mm]', part: 'half' },
  M: { pattern: '\\d{1,2}', part: 'minute' },
  S: { pattern: '\\d{1,2}', part: 'second' },
  f: { pattern: '\\d{1,9}', part: 'fraction' },
  g: { pattern: '\\d{1,3}', part: 'fraction' },
  z: { pattern: '[Zz]|[+-]\\d{2}(?::?\\d{2})?', part: 'offset' },
};
const MONTHS = [
  ...['january', 'february', 'march', 'april', 'may', 'june', 'july'],
  ...['august', 'september', 'october', 'november', 'december'],
];
/** As POSIX: 69 to 99 are of the 20th century. */
const FIRST_SHORT_YEAR = 69;

/** Reads times of one form. @returns milliseconds since 1970; why a text is none, to follow it in a message */
export type ReadTime = (text: string, zone: string) => number | string;

/**
 * Returns a reader of times in the form of a strptime pattern: `%d.%m.%Y %H:%M`. Directives: `%Y %y %m %b %B %d %H %I %p %M %S %f %g %z`, and `%%`. Parts that a pattern does not have are those of
 * midnight; an offset (`%z`) decides before the zone.
 *
 * @returns what is wrong with the pattern
 */
export function timePattern(pattern: string): ReadTime | string {
  const parts: string[] = [];
  let problem: string | undefined;
  const source = pattern.replace(/%(.?)|[.*+?^${}()|[\]\\]|\s+/gs, (found, directive: string | undefined) => {
    if (directive === undefined) return /^\s/.test(found) ? '\\s+' : `\\${found}`;
    if (directive === '%') return '%';
    const known = DIRECTIVES[directive];
    if (known === undefined) {
      problem ??= `"%${directive}" is no directive: %${Object.keys(DIRECTIVES).join(' %')} are`;
      return '';
    }
    if (parts.includes(known.part)) problem ??= `"%${directive}" repeats a part of the time`;
    parts.push(known.part);
    return `(${known.pattern})`;
  });
  const needed = [['year', 'shortYear'], ['month', 'monthName'], ['day']];
  if (needed.some((names) => !names.some((name) => parts.includes(name))))
    problem ??= `"${pattern}" needs a year, a month and a day`;
  if (parts.includes('halfDayHour') !== parts.includes('half')) problem ??= '"%I" and "%p" belong together';
  if (problem !== undefined) return problem;
  const form = new RegExp(`^\\s*${source}\\s*$`);
  return (text, zone) => {
    const found = form.exec(text);
    if (found === null) return `is no time of the form ${pattern}`;
    const held = Object.fromEntries(parts.map((part, at) => [part, found[at + 1] as string]));
    return instantOfParts(held, pattern, zone);
  };
}

function instantOfParts(held: Readonly<Record<string, string>>, pattern: string, zone: string): number | string {
  const {
    year,
    shortYear = '0',
    month,
    monthName = '',
    day = '1',
    minute = '0',
    second = '0',
    fraction = '0',
    offset,
  } = held;
  const short = Number(shortYear);
  const years = year ?? String(short >= FIRST_SHORT_YEAR ? 1900 + short : 2000 + short);
  const months = month ?? String(monthOf(monthName));
  const text = `${years.padStart(4, '0')}-${two(months)}-${two(day)}T${two(hourOf(held))}:${two(minute)}:${two(second)}`;
  const local = parseRfc3339(`${text}.${fraction}Z`);
  if (local === undefined) return `is no time of the form ${pattern}`;
  if (offset === undefined) return instantOf(local, zone);
  const [sign, ...digits] = offset.replace(':', '');
  if (digits.length === 0) return local;
  return (
    parseRfc3339(
      `${text}.${fraction}${sign}${digits.slice(0, 2).join('')}:${digits.slice(2).join('').padEnd(2, '0')}`,
    ) ?? `is no time of the form ${pattern}`
  );
}

const two = (digits: string): string => digits.padStart(2, '0');

function monthOf(name: string): number {
  const lower = name.toLowerCase();
  return MONTHS.findIndex((month) => month === lower || month.slice(0, 3) === lower) + 1;
}

function hourOf({ hour = '0', halfDayHour, half }: Readonly<Record<string, string>>): string {
  if (halfDayHour === undefined) return hour;
  const hours = Number(halfDayHour);
  // 99 is no hour: what is no hour of a half day is refused.
  if (hours < 1 || hours > 12) return '99';
  return String((hours % 12) + (half?.toLowerCase() === 'pm' ? 12 : 0));
}
