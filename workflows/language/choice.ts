import type { JsonValue } from '#kernel/json';
import { parseRfc3339 } from '#kernel/times/rfc3339';
import { findAt, type Scope, valueAt } from './paths.ts';
import { runtimeError } from './state_error.ts';

/** A rule of a Choice state: a comparison, or And, Or and Not of rules. */
export interface ChoiceRule {
  readonly And?: readonly ChoiceRule[];
  readonly Or?: readonly ChoiceRule[];
  readonly Not?: ChoiceRule;
  readonly Variable?: string;
  readonly Next?: string;
  readonly [operator: string]: unknown;
}

type Compare = (value: JsonValue, operand: JsonValue) => boolean;
type Order = (difference: number) => boolean;

const ORDERS: Readonly<Record<string, Order>> = {
  Equals: (difference) => difference === 0,
  LessThan: (difference) => difference < 0,
  GreaterThan: (difference) => difference > 0,
  LessThanEquals: (difference) => difference <= 0,
  GreaterThanEquals: (difference) => difference >= 0,
};

const byCodePoint = (a: string, b: string): number => (a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b)));
const timeOf = (value: JsonValue): number | undefined => (typeof value === 'string' ? parseRfc3339(value) : undefined);

/** How far apart two values of a type are; undefined where one is of another type. */
const DIFFERENCES: Readonly<Record<string, (a: JsonValue, b: JsonValue) => number | undefined>> = {
  String: (a, b) => (typeof a === 'string' && typeof b === 'string' ? byCodePoint(a, b) : undefined),
  Numeric: (a, b) => (typeof a === 'number' && typeof b === 'number' ? a - b : undefined),
  Timestamp: (a, b) => {
    const [first, second] = [timeOf(a), timeOf(b)];
    return first === undefined || second === undefined ? undefined : first - second;
  },
};

const COMPARISONS: Readonly<Record<string, Compare>> = Object.fromEntries([
  ...Object.entries(DIFFERENCES).flatMap(([type, differenceOf]) =>
    Object.entries(ORDERS).map(([order, holds]): [string, Compare] => [
      `${type}${order}`,
      (value, operand) => {
        const difference = differenceOf(value, operand);
        return difference !== undefined && holds(difference);
      },
    ]),
  ),
  ['BooleanEquals', (value: JsonValue, operand: JsonValue) => typeof value === 'boolean' && value === operand],
  [
    'StringMatches',
    (value: JsonValue, operand: JsonValue) =>
      typeof value === 'string' && typeof operand === 'string' && matchesWildcards(value, operand),
  ],
]);

const TYPE_TESTS: Readonly<Record<string, (value: JsonValue | undefined) => boolean>> = {
  IsNull: (value) => value === null,
  IsString: (value) => typeof value === 'string',
  IsNumeric: (value) => typeof value === 'number',
  IsBoolean: (value) => typeof value === 'boolean',
  IsTimestamp: (value) => value !== undefined && timeOf(value) !== undefined,
};

/** Every operator of a comparison. */
export const OPERATORS: readonly string[] = [
  ...Object.keys(COMPARISONS).flatMap((name) => (name === 'StringMatches' ? [name] : [name, `${name}Path`])),
  ...Object.keys(TYPE_TESTS),
  'IsPresent',
];

/** Returns the operator of a comparison; undefined where it has none that is known. */
export const operatorOf = (rule: ChoiceRule): string | undefined =>
  Object.keys(rule).find((name) => OPERATORS.includes(name));

/** Returns whether a rule holds. @throws {@link StateError} `States.Runtime` for a variable that does not exist */
export function ruleHolds(rule: ChoiceRule, scope: Scope): boolean {
  if (rule.And !== undefined) return rule.And.every((each) => ruleHolds(each, scope));
  if (rule.Or !== undefined) return rule.Or.some((each) => ruleHolds(each, scope));
  if (rule.Not !== undefined) return !ruleHolds(rule.Not, scope);
  const operator = operatorOf(rule);
  const { Variable: variable } = rule;
  if (operator === undefined || variable === undefined) {
    throw runtimeError(`a rule has no operator or no Variable: ${JSON.stringify(rule)}`);
  }
  const operand = rule[operator] as JsonValue;
  const found = findAt(variable, scope);
  if (operator === 'IsPresent') return (found !== undefined && !isEmptyMatch(variable, found)) === operand;
  if (found === undefined)
    throw runtimeError(`Invalid path '${variable}': the choice state's condition path references an invalid value`);
  const isOfType = TYPE_TESTS[operator];
  if (isOfType !== undefined) return isOfType(found) === operand;
  const isPath = operator.endsWith('Path');
  const compare = COMPARISONS[isPath ? operator.slice(0, -'Path'.length) : operator] as Compare;
  return compare(found, isPath ? valueAt(operand as string, scope) : operand);
}

/** A path of several places that matches none of them. */
const isEmptyMatch = (path: string, found: JsonValue): boolean =>
  Array.isArray(found) && found.length === 0 && /\*|\.\.|\?|:/.test(path);

/** `*` stands for any characters, `\*` for itself. Linear in the length of both, whatever the pattern. */
export function matchesWildcards(text: string, pattern: string): boolean {
  const pieces: string[] = [];
  let piece = '';
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern[at] as string;
    if (character === '*') {
      pieces.push(piece);
      piece = '';
    } else if (character === '\\' && at + 1 < pattern.length) {
      at += 1;
      piece += pattern[at];
    } else piece += character;
  }
  pieces.push(piece);
  const [first, ...rest] = pieces as [string, ...string[]];
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let from = first.length;
  const end = text.length - last.length;
  for (const piece of rest) {
    const found = text.indexOf(piece, from);
    if (found === -1 || found + piece.length > end) return false;
    from = found + piece.length;
  }
  return true;
}
