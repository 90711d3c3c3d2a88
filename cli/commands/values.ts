import { InvalidArgumentError } from '@commander-js/extra-typings';
import { type Duration, tryParseDuration } from '#kernel/times/duration';
import { parseUtcTime } from '#kernel/times/utc_time';

// Parsers of option values and arguments. Commander names the option and its value before the message.

/** Returns a parser of integers from `least` to `most`. */
export const integer =
  (least = 0, most = Number.MAX_SAFE_INTEGER) =>
  (value: string): number => {
    const number = Number(value);
    if (/^\d{1,16}$/.test(value) && number >= least && number <= most) return number;
    throw new InvalidArgumentError(
      most === Number.MAX_SAFE_INTEGER
        ? `Give an integer of ${least} or more.`
        : `Give an integer from ${least} to ${most}.`,
    );
  };

/** Returns a parser of decimal numbers from 0 to `most`. */
export const decimal =
  (most = Number.POSITIVE_INFINITY) =>
  (value: string): number => {
    const number = Number(value);
    if (/^\d+(\.\d+)?$/.test(value) && number <= most) return number;
    throw new InvalidArgumentError(
      most === Number.POSITIVE_INFINITY ? 'Give a number of 0 or more.' : `Give a number from 0 to ${most}.`,
    );
  };

/** Parses a date, `2024-12-20`, that the calendar has. */
export function date(value: string): string {
  if (/^\d{4}-\d\d-\d\d$/.test(value) && parseUtcTime(value) !== undefined) return value;
  throw new InvalidArgumentError('Give a date such as 2024-12-20.');
}

/** Parses a duration, `30m`. */
export function duration(value: string): Duration {
  if ((tryParseDuration(value) ?? 0) > 0) return value as Duration;
  throw new InvalidArgumentError('Give a duration such as 30m.');
}

/** Parses a model's version number. */
export const versionNumber = integer(1);

/** Parses a number of worker threads. */
export const threadCount = integer(0, 999);

/** Collects the values of an option that may be repeated. */
export const repeated = (value: string, before: readonly string[]): readonly string[] => [...before, value];

/** The default of a repeatable option. */
export const NONE: readonly string[] = [];

/** The option of commands that write into the history of a run. */
export const BY = '--by <name>';
export const BY_TEXT = 'author, kept in the history (default: the user of this process)';
