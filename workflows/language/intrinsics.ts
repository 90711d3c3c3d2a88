import { createHash, randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { JsonObject, JsonValue } from '#kernel/json';
import { Random } from '#kernel/random';
import { pathProblem, type Scope, valueAt } from './paths.ts';
import { intrinsicFailure, StateError } from './state_error.ts';

/** A parsed argument of an intrinsic function. */
export type Argument =
  | { readonly kind: 'literal'; readonly value: string | number | boolean | null }
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'call'; readonly call: Call };

export interface Call {
  readonly name: string;
  readonly args: readonly Argument[];
}

/** What is wrong with an expression, with the character it was found at. */
export class IntrinsicSyntaxError extends Error {}

const MOST_ITEMS = 1_000;
const MOST_CHARS = 10_000;
const HASHES: Readonly<Record<string, string>> = {
  ...{ MD5: 'md5', 'SHA-1': 'sha1', 'SHA-256': 'sha256', 'SHA-384': 'sha384', 'SHA-512': 'sha512' },
};

const arrayOf = (value: JsonValue | undefined): readonly JsonValue[] => {
  if (Array.isArray(value)) return value as readonly JsonValue[];
  throw intrinsicFailure(`expected an array, got ${JSON.stringify(value)}`);
};
const stringOf = (value: JsonValue | undefined): string => {
  if (typeof value === 'string') return value;
  throw intrinsicFailure(`expected a string, got ${JSON.stringify(value)}`);
};
const shortStringOf = (value: JsonValue | undefined): string => {
  const text = stringOf(value);
  if (text.length <= MOST_CHARS) return text;
  throw intrinsicFailure(`expected a string of ${MOST_CHARS} characters at most, got ${text.length}`);
};
const numberOf = (value: JsonValue | undefined): number => {
  if (typeof value === 'number') return value;
  throw intrinsicFailure(`expected a number, got ${JSON.stringify(value)}`);
};
const objectOf = (value: JsonValue | undefined): JsonObject => {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw intrinsicFailure(`expected an object, got ${JSON.stringify(value)}`);
};
/** A half is rounded to the even integer, as Step Functions does. */
const integerOf = (value: JsonValue | undefined): number => {
  const number = numberOf(value);
  const floor = Math.floor(number);
  return number - floor === 0.5 ? floor + (floor % 2 === 0 ? 0 : 1) : Math.round(number);
};

/** A value within a formatted string: strings bare, objects as `{a=1}`. */
function shown(value: JsonValue): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return `[${value.map(shown).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([name, part]) => `${name}=${shown(part as JsonValue)}`)
    .join(', ')}}`;
}

function format(args: readonly JsonValue[]): string {
  const [template, ...values] = args;
  let next = 0;
  const text = stringOf(template).replaceAll(/\\([{}\\'])|\{\}/g, (_match, escaped: string | undefined) => {
    if (escaped !== undefined) return escaped;
    const value = values[next];
    next += 1;
    if (value === undefined) throw intrinsicFailure(`States.Format has more {} than the ${values.length} values`);
    return shown(value);
  });
  if (next < values.length) {
    throw intrinsicFailure(`States.Format has ${next} {} for ${values.length} values`);
  }
  return text;
}

function range([first, last, step]: readonly JsonValue[]): JsonValue {
  const [from, to, by] = [integerOf(first), integerOf(last), integerOf(step)];
  if (by === 0) throw intrinsicFailure('the step of States.ArrayRange is 0');
  const length = Math.max(0, Math.floor((to - from) / by) + 1);
  if (length > MOST_ITEMS) throw intrinsicFailure(`States.ArrayRange gives ${length} items; at most ${MOST_ITEMS}`);
  return Array.from({ length }, (_, index) => from + index * by);
}

function partition([array, size]: readonly JsonValue[]): JsonValue {
  const [items, count] = [arrayOf(array), integerOf(size)];
  if (count <= 0) throw intrinsicFailure(`the chunk size of States.ArrayPartition is ${count}; it must be positive`);
  return Array.from({ length: Math.ceil(items.length / count) }, (_, index) =>
    items.slice(index * count, (index + 1) * count),
  );
}

function unique([array]: readonly JsonValue[]): JsonValue {
  const kept: JsonValue[] = [];
  for (const item of arrayOf(array)) if (!kept.some((each) => isDeepStrictEqual(each, item))) kept.push(item);
  return kept;
}

function parsed([text]: readonly JsonValue[]): JsonValue {
  const json = stringOf(text);
  if (json.trim() === '') return null;
  try {
    return JSON.parse(json) as JsonValue;
  } catch (error) {
    throw intrinsicFailure(`States.StringToJson: ${(error as Error).message}`);
  }
}

function merged([first, second, isDeep]: readonly JsonValue[]): JsonValue {
  if (isDeep !== false)
    throw intrinsicFailure('States.JsonMerge merges shallowly only: its third argument must be false');
  return Object.fromEntries([...Object.entries(objectOf(first)), ...Object.entries(objectOf(second))]) as JsonObject;
}

function hash([data, algorithm]: readonly JsonValue[]): JsonValue {
  const name = HASHES[stringOf(algorithm)];
  if (name === undefined) {
    throw intrinsicFailure(`States.Hash: ${stringOf(algorithm)} is none of ${Object.keys(HASHES).join(', ')}`);
  }
  return createHash(name).update(shortStringOf(data)).digest('hex');
}

function random([start, end, seed]: readonly JsonValue[]): JsonValue {
  const [from, to] = [integerOf(start), integerOf(end)];
  if (from >= to) throw intrinsicFailure(`States.MathRandom: ${from} is not less than ${to}`);
  const share = seed === undefined ? Math.random() : new Random(integerOf(seed)).next();
  return from + Math.floor(share * (to - from));
}

function split([text, delimiters]: readonly JsonValue[]): JsonValue {
  const set = new Set(stringOf(delimiters));
  const parts: string[] = [''];
  for (const character of stringOf(text)) {
    if (set.has(character)) parts.push('');
    else parts[parts.length - 1] += character;
  }
  return parts.filter((part) => part !== '');
}

function item([array, index]: readonly JsonValue[]): JsonValue {
  const [items, at] = [arrayOf(array), integerOf(index)];
  const found = items[at];
  if (found === undefined) throw intrinsicFailure(`States.ArrayGetItem: index ${at} of an array of ${items.length}`);
  return found;
}

interface Intrinsic {
  /** Fewest and most arguments. */
  readonly count: readonly [number, number];
  readonly apply: (args: readonly JsonValue[]) => JsonValue;
}
const intrinsic = (fewest: number, most: number, apply: Intrinsic['apply']): Intrinsic => ({
  count: [fewest, most],
  apply,
});

const FUNCTIONS: Readonly<Record<string, Intrinsic>> = {
  'States.Format': intrinsic(1, Number.POSITIVE_INFINITY, format),
  'States.StringToJson': intrinsic(1, 1, parsed),
  'States.JsonToString': intrinsic(1, 1, ([value]) => JSON.stringify(value)),
  'States.Array': intrinsic(0, Number.POSITIVE_INFINITY, (args) => [...args]),
  'States.ArrayPartition': intrinsic(2, 2, partition),
  'States.ArrayContains': intrinsic(2, 2, ([array, value]) =>
    arrayOf(array).some((each) => isDeepStrictEqual(each, value)),
  ),
  'States.ArrayRange': intrinsic(3, 3, range),
  'States.ArrayGetItem': intrinsic(2, 2, item),
  'States.ArrayLength': intrinsic(1, 1, ([array]) => arrayOf(array).length),
  'States.ArrayUnique': intrinsic(1, 1, unique),
  'States.Base64Encode': intrinsic(1, 1, ([text]) => Buffer.from(shortStringOf(text), 'utf8').toString('base64')),
  'States.Base64Decode': intrinsic(1, 1, ([text]) => Buffer.from(shortStringOf(text), 'base64').toString('utf8')),
  'States.Hash': intrinsic(2, 2, hash),
  'States.JsonMerge': intrinsic(3, 3, merged),
  'States.MathRandom': intrinsic(2, 3, random),
  'States.MathAdd': intrinsic(2, 2, ([a, b]) => integerOf(a) + integerOf(b)),
  'States.StringSplit': intrinsic(2, 2, split),
  'States.UUID': intrinsic(0, 0, () => randomUUID()),
};

/** Returns the value of an intrinsic function. @throws {@link StateError} `States.IntrinsicFailure` */
export function evaluateIntrinsic(text: string, scope: Scope): JsonValue {
  let call: Call;
  try {
    call = parseIntrinsic(text);
  } catch (error) {
    throw intrinsicFailure((error as Error).message);
  }
  return evaluate(call, scope);
}

function evaluate({ name, args }: Call, scope: Scope): JsonValue {
  const values = args.map((argument) => {
    if (argument.kind === 'literal') return argument.value;
    return argument.kind === 'path' ? valueAt(argument.path, scope) : evaluate(argument.call, scope);
  });
  try {
    return (FUNCTIONS[name] as Intrinsic).apply(values);
  } catch (error) {
    if (error instanceof StateError) throw error;
    throw intrinsicFailure(`${name}: ${(error as Error).message}`);
  }
}

/** Returns what is wrong with an expression; undefined for one that can be evaluated. */
export function intrinsicProblem(text: string): string | undefined {
  try {
    parseIntrinsic(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Parses `States.Name(argument, …)`. @throws {@link IntrinsicSyntaxError} */
export function parseIntrinsic(text: string): Call {
  const parser = new Parser(text);
  const call = parser.call();
  parser.end();
  return call;
}

const NUMBER = /-?\d+(\.\d+)?([eE][+-]?\d+)?/y;
const NAME = /[A-Za-z_][\w.]*/y;

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  #fail(problem: string): IntrinsicSyntaxError {
    return new IntrinsicSyntaxError(`${problem} at character ${this.#at + 1} of "${this.#text}"`);
  }

  #spaces(): void {
    while (/\s/.test(this.#text[this.#at] ?? '')) this.#at += 1;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text)?.[0];
    if (match !== undefined) this.#at += match.length;
    return match;
  }

  end(): void {
    this.#spaces();
    if (this.#at < this.#text.length) throw this.#fail('unexpected text');
  }

  call(): Call {
    this.#spaces();
    const name = this.#match(NAME);
    if (name === undefined) throw this.#fail('expected an intrinsic function, such as States.Format(…),');
    const known = FUNCTIONS[name];
    if (known === undefined) {
      throw this.#fail(`${name} is no intrinsic function; there are ${Object.keys(FUNCTIONS).join(', ')}; found`);
    }
    this.#spaces();
    if (this.#text[this.#at] !== '(') throw this.#fail(`expected "(" after ${name}`);
    this.#at += 1;
    const args = this.#arguments();
    const [fewest, most] = known.count;
    if (args.length < fewest || args.length > most) {
      const takes = fewest === most ? `${fewest}` : `${fewest} or more`;
      throw this.#fail(`${name} takes ${takes} arguments, not ${args.length},`);
    }
    return { name, args };
  }

  #arguments(): readonly Argument[] {
    const args: Argument[] = [];
    for (;;) {
      this.#spaces();
      if (args.length === 0 && this.#text[this.#at] === ')') break;
      args.push(this.#argument());
      this.#spaces();
      if (this.#text[this.#at] === ')') break;
      if (this.#text[this.#at] !== ',') throw this.#fail('expected "," or ")"');
      this.#at += 1;
    }
    this.#at += 1;
    return args;
  }

  #argument(): Argument {
    const next = this.#text[this.#at];
    if (next === "'") return { kind: 'literal', value: this.#string() };
    if (next === '$') return { kind: 'path', path: this.#path() };
    const number = this.#match(NUMBER);
    if (number !== undefined) return { kind: 'literal', value: Number(number) };
    for (const [word, value] of [
      ['true', true],
      ['false', false],
      ['null', null],
    ] as const) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return { kind: 'literal', value };
      }
    }
    return { kind: 'call', call: this.call() };
  }

  /** Escapes of braces stay: States.Format reads them. */
  #string(): string {
    let value = '';
    for (this.#at += 1; this.#at < this.#text.length; this.#at += 1) {
      const character = this.#text[this.#at] as string;
      if (character === "'") {
        this.#at += 1;
        return value;
      }
      if (character === '\\') {
        this.#at += 1;
        const escaped = this.#text[this.#at] ?? '';
        value += escaped === "'" || escaped === '\\' ? escaped : `\\${escaped}`;
      } else value += character;
    }
    throw this.#fail('a string has no closing quote');
  }

  /** Up to the comma or parenthesis that ends the argument. */
  #path(): string {
    const start = this.#at;
    let depth = 0;
    let quote = '';
    for (; this.#at < this.#text.length; this.#at += 1) {
      const character = this.#text[this.#at] as string;
      if (quote !== '') {
        if (character === '\\') this.#at += 1;
        else if (character === quote) quote = '';
      } else if (character === "'" || character === '"') quote = character;
      else if (character === '[' || character === '(') depth += 1;
      else if (depth === 0 && (character === ',' || character === ')')) break;
      else if (character === ']' || character === ')') depth -= 1;
    }
    const path = this.#text.slice(start, this.#at).trim();
    const problem = pathProblem(path);
    if (problem !== undefined) throw this.#fail(`the path ${path} cannot be read (${problem})`);
    return path;
  }
}
