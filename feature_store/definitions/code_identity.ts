import { functionIdentityOf, parameterUse, textHash } from '#kernel/functions/function_identity';
import { canonicalJson } from '#kernel/json';

export type Code = (...args: never[]) => unknown;

/** What a function's source does not show. */
export interface CodeOptions {
  /** The captured variables and imported helpers that it uses, by name, and those that these helpers use: `{ uses: { RATE, clamp01 } }`. */
  readonly uses?: Readonly<Record<string, unknown>> | undefined;
  /** Instead of `uses`, for helpers that are long or of a package: raise it when they change what the function returns. */
  readonly version?: number | string | undefined;
}

/** A function as data: equal where it computes the same, however it was compiled. */
export interface CodeDescription {
  /** Of its normalised source. */
  readonly code: string;
  readonly uses?: Readonly<Record<string, unknown>>;
  readonly version?: number | string;
  /** As it is written, shortened, for messages; no part of a fingerprint. */
  readonly source: string;
}

const LONGEST_SOURCE = 160;
const LONGEST_VALUE = 160;

export function describeCode(fn: Code, { uses, version }: CodeOptions = {}): CodeDescription {
  return {
    code: functionIdentityOf(fn).hash,
    ...(uses === undefined ? {} : { uses: describeUses(uses) }),
    ...(version === undefined ? {} : { version }),
    source: shortened(Function.prototype.toString.call(fn).replaceAll(/\s+/g, ' '), LONGEST_SOURCE),
  };
}

const shortened = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most)}…` : text);

function describeUses(uses: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const described = Object.keys(uses)
    .sort()
    .map((name): [string, unknown] => {
      const value = describeValue(uses[name], []);
      const text = canonicalJson(value);
      return [name, text.length > LONGEST_VALUE ? { hash: textHash(text) } : value];
    });
  return Object.fromEntries(described);
}

/** A captured value cannot be written as data. */
class OpaqueValueError extends TypeError {}

/** A value as JSON that differs where the values do. @throws {@link OpaqueValueError} */
function describeValue(value: unknown, within: readonly unknown[]): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { number: Object.is(value, -0) ? '-0' : `${value}` };
    case 'bigint':
      return { bigint: `${value}` };
    case 'undefined':
      return { undefined: true };
    case 'function':
      return { code: functionIdentityOf(value as Code).hash };
    case 'symbol':
      throw new OpaqueValueError('a symbol');
  }
  if (value === null || value === undefined) return null;
  if (within.includes(value)) throw new OpaqueValueError('an object that contains itself');
  const inner = (part: unknown): unknown => describeValue(part, [...within, value]);
  if (Array.isArray(value)) return value.map(inner);
  if (value instanceof Date) return { date: value.getTime() };
  if (value instanceof RegExp) return { regex: value.source, flags: value.flags };
  if (value instanceof Map) return { map: [...value].map(inner) };
  if (value instanceof Set) return { set: [...value].map(inner) };
  if (ArrayBuffer.isView(value))
    return { bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') };
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw new OpaqueValueError(`an instance of ${value.constructor?.name ?? 'a class'}`);
  }
  return { object: Object.fromEntries(Object.entries(value).map(([key, part]) => [key, inner(part)])) };
}

/** Functions among captured values, at any depth. */
function functionsIn(value: unknown, found: Set<Code> = new Set()): ReadonlySet<Code> {
  if (typeof value === 'function') found.add(value as Code);
  else if (Array.isArray(value) || value instanceof Set) for (const part of value) functionsIn(part, found);
  else if (value instanceof Map) for (const part of value.values()) functionsIn(part, found);
  else if (typeof value === 'object' && value !== null)
    for (const part of Object.values(value)) functionsIn(part, found);
  return found;
}

/** Returns what a fingerprint could not see of a function: names that it uses without `uses` or `version`, and values that are no data. */
export function codeProblems(fn: Code, { uses = {}, version }: CodeOptions = {}): readonly string[] {
  const problems: string[] = [];
  for (const [name, value] of Object.entries(uses)) {
    try {
      describeValue(value, []);
    } catch (error) {
      if (!(error instanceof OpaqueValueError)) throw error;
      problems.push(
        `"${name}" in "uses" is ${error.message}, which no fingerprint covers: give the function a "version" instead`,
      );
    }
  }
  if (version !== undefined || problems.length > 0) return problems;
  const functions = [fn, ...functionsIn(Object.values(uses))];
  const free = new Set(functions.flatMap((each) => [...functionIdentityOf(each).free]));
  const unseen = [...free].filter((name) => !Object.hasOwn(uses, name));
  if (unseen.length === 0) return [];
  const names = unseen.map((name) => `"${name}"`).join(', ');
  return [
    `its function uses ${names}, which its source does not define: list ${unseen.length === 1 ? 'it' : 'them'} (${listed(unseen)}), or give the function a version ({ version: 1 }) and raise it when that changes`,
  ];
}

const listed = (names: readonly string[]): string =>
  `{ uses: { ${names.filter((name) => name !== 'this').join(', ')} } }`;

/**
 * Returns the fields of an event that a function reads of its parameter at `index`, helpers in `uses` included; undefined where its source does not show them.
 *
 * @param below - the member of the parameter that is the event: `['event']` for `previous.event.country`
 */
export function fieldsRead(
  fn: Code,
  index: number,
  { uses = {} }: CodeOptions = {},
  below: readonly string[] = [],
): readonly string[] | undefined {
  const fields = new Set<string>();
  const visited = new Set<string>();
  const visit = (code: Code, position: number): boolean => {
    const use = parameterUse(code, position);
    if (use === undefined) return false;
    for (const path of use.paths) {
      const isEvent = below.every((member, at) => path[at] === member);
      const field = path[below.length];
      if (isEvent && field === undefined) return false;
      if (isEvent) fields.add(field as string);
      else if (path.length < below.length) return false;
    }
    return use.passedTo.every(({ callee, position: at }) => {
      const helper = uses[callee];
      if (visited.has(`${callee} ${at}`)) return true;
      visited.add(`${callee} ${at}`);
      return typeof helper === 'function' && visit(helper as Code, at);
    });
  };
  return visit(fn, index) ? [...fields].sort() : undefined;
}
