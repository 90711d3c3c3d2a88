import type { z } from 'zod';
import { listed, MOST_NAMED } from './problem_list.ts';

// What is wrong with a field, in the same words whichever schema found it: JSON Schema of a route, or zod of an event.

export interface FieldProblem {
  /** Dotted path; empty for the value as a whole. */
  readonly field: string;
  /** What is wrong, and what to send: `must be a number, not a string`. */
  readonly problem: string;
}

/** Names of types, of JSON Schema and of zod. */
const TYPES: Readonly<Record<string, string>> = {
  ...{ string: 'a string', number: 'a number', integer: 'an integer', int: 'an integer', bigint: 'an integer' },
  ...{ boolean: 'a boolean', object: 'an object', record: 'an object', map: 'an object', array: 'an array' },
  ...{ tuple: 'an array', set: 'an array', date: 'a date', null: 'null' },
};

/** Returns what a value is: the value itself where it is a number or a boolean, `a string` otherwise. */
export function kindOf(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return TYPES[value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value] ?? typeof value;
}

/** @param value - undefined: it was left out */
export function wrongType(types: readonly string[], value: unknown, sent: string = kindOf(value)): string {
  if (value === undefined) return 'is required';
  return `must be ${either(types.map((type) => TYPES[type] ?? type))}, not ${sent}`;
}

const either = (items: readonly string[]): string =>
  items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} or ${items.at(-1)}`;

export const notOneOf = (values: readonly unknown[]): string =>
  values.length === 1 ? `must be ${String(values[0])}` : `must be one of ${listed(values.map(String))}`;

export const tooSmall = (limit: number | bigint, isIncluded = true): string =>
  `must be ${isIncluded ? 'at least' : 'more than'} ${limit}`;
export const tooLarge = (limit: number | bigint, isIncluded = true): string =>
  `must be ${isIncluded ? 'at most' : 'less than'} ${limit}`;
/** @param unit - of one: `character` */
export const tooFew = (limit: number | bigint, unit: string): string =>
  `must have at least ${limit} ${unit}${Number(limit) === 1 ? '' : 's'}`;
export const tooMany = (limit: number | bigint, unit: string): string =>
  `must have at most ${limit} ${unit}${Number(limit) === 1 ? '' : 's'}`;

const FORMATS: Readonly<Record<string, string>> = {
  'date-time': 'a time such as 2026-11-28T12:00:00Z',
  datetime: 'a time such as 2026-11-28T12:00:00Z',
  date: 'a date such as 2026-11-28',
  time: 'a time of day such as 12:00:00',
  duration: 'a duration such as PT1H',
  email: 'an e-mail address',
  uuid: 'a UUID',
  url: 'a URL',
  uri: 'a URL',
};
export const wrongFormat = (format: string): string => `must be ${FORMATS[format] ?? `of the format ${format}`}`;

export const UNKNOWN_FIELD = 'is not a known field';

/** Lists problems for a message: the first 20, and how many more there are. @param whole - what an empty path stands for */
export const listedProblems = (problems: readonly FieldProblem[], whole = 'it'): string =>
  listed(
    problems.map(({ field, problem }) => `${field === '' ? whole : field} ${problem}`),
    { separator: '; ', longest: 500 },
  );

/** The first problems, as an answer names them. */
export const namedProblems = (problems: readonly FieldProblem[]): readonly FieldProblem[] =>
  problems.slice(0, MOST_NAMED);

type Issue = z.core.$ZodIssue;

const LENGTHS: Readonly<Record<string, string>> = {
  string: 'character',
  array: 'item',
  set: 'item',
  map: 'key',
  object: 'key',
};

/** Words zod's issues, but for those whose schema has a message of its own: pass it as `error` when values are parsed. */
export const plainIssues: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type':
      // The schema's fault, not the client's: no JSON would do.
      if (issue.expected === 'bigint' && Number.isInteger(issue.input))
        return 'is a number in JSON, which z.bigint() does not take: declare the field as z.coerce.bigint()';
      return wrongType([issue.expected], issue.input);
    case 'too_small': {
      const unit = LENGTHS[issue.origin];
      return unit === undefined ? tooSmall(issue.minimum, issue.inclusive) : tooFew(issue.minimum, unit);
    }
    case 'too_big': {
      const unit = LENGTHS[issue.origin];
      return unit === undefined ? tooLarge(issue.maximum, issue.inclusive) : tooMany(issue.maximum, unit);
    }
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'invalid_value':
      return issue.input === undefined ? 'is required' : notOneOf(issue.values);
    case 'invalid_format':
      return issue.format === 'regex' ? `must match ${issue.pattern}` : wrongFormat(issue.format);
    case 'invalid_union':
      return fitsNone(issue.errors, issue.input);
    case 'custom':
      return 'is refused by a rule of its schema';
    default:
      return undefined;
  }
};

/** Of the forms that a value may have, the one that it is nearest to. */
function fitsNone(forms: readonly (readonly Issue[])[], value: unknown): string | undefined {
  if (value === undefined) return 'is required';
  const isOtherType = ([first]: readonly Issue[]): boolean => first?.code === 'invalid_type' && first.path.length === 0;
  if (forms.length > 0 && forms.every(isOtherType)) {
    return wrongType(
      forms.map(([first]) => (first as Extract<Issue, { code: 'invalid_type' }>).expected),
      value,
    );
  }
  const [nearest] = forms.filter((form) => !isOtherType(form)).toSorted((a, b) => a.length - b.length);
  return nearest === undefined
    ? undefined
    : problemsOfIssues(nearest)
        .map(({ field, problem }) => (field === '' ? problem : `${field} ${problem}`))
        .join('; ');
}

/** Returns zod's issues as problems of fields, a problem for each field that is not known. */
export function problemsOfIssues(issues: readonly Issue[]): FieldProblem[] {
  const fieldOf = ({ path }: Issue): string => path.map(String).join('.');
  const ofOtherType = new Set(issues.filter(({ code }) => code === 'invalid_type').map(fieldOf));
  return issues.flatMap((issue): FieldProblem[] => {
    const path = issue.path.map(String);
    // zod measures a string where there should be a list.
    if ((issue.code === 'too_big' || issue.code === 'too_small') && ofOtherType.has(fieldOf(issue))) return [];
    if (issue.code !== 'unrecognized_keys') return [{ field: path.join('.'), problem: issue.message }];
    return issue.keys.map((key) => ({ field: [...path, key].join('.'), problem: UNKNOWN_FIELD }));
  });
}
