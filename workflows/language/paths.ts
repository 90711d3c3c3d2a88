import { compile, type JSONPathQuery } from 'json-p3';
import { LRUCache } from 'lru-cache';
import type { JsonObject, JsonValue } from '#kernel/json';
import { runtimeError, StateError } from './state_error.ts';

/** What the paths of a state read. */
export interface Scope {
  readonly input: JsonValue;
  /** The context object, which paths with `$$` read. */
  readonly context: JsonValue;
}

const MOST_KEPT = 2_000;
const compiled = new LRUCache<string, JSONPathQuery>({ max: MOST_KEPT });

function queryOf(path: string): JSONPathQuery {
  let query = compiled.get(path);
  if (query === undefined) {
    query = compile(path);
    compiled.set(path, query);
  }
  return query;
}

/** Returns what is wrong with a path (`$.a`, `$$.Execution.Id`); undefined for one that can be read. */
export function pathProblem(path: string): string | undefined {
  try {
    queryOf(path.startsWith('$$') ? path.slice(1) : path);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/**
 * Returns the value at a path. A path that can match several places (`$.items[*].id`, `$..id`) gives an array of them, also of one or none.
 *
 * @throws {@link StateError} `States.Runtime` where a path of one place matches nothing
 */
export function valueAt(path: string, { input, context }: Scope): JsonValue {
  const found = findAt(path, { input, context });
  if (found !== undefined) return found;
  throw runtimeError(`The JSONPath '${path}' could not be found in the input '${shortened(input)}'`);
}

/** Returns the value at a path; undefined where it matches nothing. */
export function findAt(path: string, { input, context }: Scope): JsonValue | undefined {
  const isOfContext = path.startsWith('$$');
  const text = isOfContext ? path.slice(1) : path;
  if (text === '$') return isOfContext ? context : input;
  let query: JSONPathQuery;
  try {
    query = queryOf(text);
  } catch (error) {
    throw runtimeError(`the path '${path}' cannot be read: ${(error as Error).message}`);
  }
  const values = query.query(mutable(isOfContext ? context : input)).values() as JsonValue[];
  return query.singularQuery() ? values[0] : values;
}

const SHOWN_CHARS = 200;

function shortened(value: JsonValue): string {
  const text = JSON.stringify(value);
  return text.length <= SHOWN_CHARS ? text : `${text.slice(0, SHOWN_CHARS)}…`;
}

/** json-p3 only reads. */
const mutable = (value: JsonValue): never => value as never;

const STEP = /\.([\p{L}_$][\p{L}\p{N}_$-]*)|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]/uy;

/** Returns the steps of a reference path (`$.a.b[0]`); undefined for a path that can match several places. */
export function referenceSteps(path: string): readonly (string | number)[] | undefined {
  if (!path.startsWith('$') || path.startsWith('$$')) return undefined;
  const steps: (string | number)[] = [];
  let at = 1;
  while (at < path.length) {
    STEP.lastIndex = at;
    const match = STEP.exec(path);
    if (match === null) return undefined;
    const [, name, single, double, index] = match;
    const quoted = single ?? double;
    steps.push(index === undefined ? (name ?? (quoted as string).replaceAll(/\\(.)/g, '$1')) : Number(index));
    at = STEP.lastIndex;
  }
  return steps;
}

/**
 * Returns the input with `value` at a reference path; objects on the way are made.
 *
 * @throws {@link StateError} `States.ResultPathMatchFailure` where something else is on the way
 */
export function withValueAt(path: string, input: JsonValue, value: JsonValue): JsonValue {
  const steps = referenceSteps(path);
  if (steps === undefined) {
    throw runtimeError(`ResultPath '${path}' is not a reference path, such as $.name`);
  }
  return placed(input, steps, value, path);
}

function placed(
  target: JsonValue | undefined,
  steps: readonly (string | number)[],
  value: JsonValue,
  path: string,
): JsonValue {
  const [step, ...rest] = steps;
  if (step === undefined) return value;
  const mismatch = (): StateError =>
    new StateError('States.ResultPathMatchFailure', `Unable to apply ReferencePath ${path} to the state's input`);
  if (typeof step === 'number') {
    if (!Array.isArray(target) || step >= target.length) throw mismatch();
    return target.map((item: JsonValue, index) => (index === step ? placed(item, rest, value, path) : item));
  }
  if (target !== undefined && (typeof target !== 'object' || target === null || Array.isArray(target)))
    throw mismatch();
  const object = (target ?? {}) as JsonObject;
  const next = placed(Object.hasOwn(object, step) ? object[step] : undefined, rest, value, path);
  // A field may be called __proto__.
  return Object.fromEntries([...Object.entries(object).filter(([name]) => name !== step), [step, next]]) as JsonObject;
}
