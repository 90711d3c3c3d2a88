import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../time.ts';

/** A span of time as people write it: `250ms`, `30s`, `5m`, `24h`, `7d`. */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`;

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: SECOND_MS, m: MINUTE_MS, h: HOUR_MS, d: DAY_MS };

/** @returns milliseconds, or undefined when `text` is not a {@link Duration} */
export function tryParseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * (UNIT_MS[match[2] as string] as number);
}

/** @throws {RangeError} when `text` is not a duration such as `30s` or `24h` */
export function durationMs(text: Duration): number {
  const millis = tryParseDuration(text);
  if (millis === undefined) throw new RangeError(`"${text}" is not a duration: write 250ms, 30s, 5m, 24h or 7d`);
  return millis;
}

/** Returns a span of time as a {@link Duration} in its largest whole unit: `90m`, `7d`. */
export function durationText(ms: number): Duration {
  const [unit, size] = Object.entries(UNIT_MS).findLast(([, each]) => ms >= each && ms % each === 0) ?? ['ms', 1];
  return `${ms / size}${unit}` as Duration;
}
