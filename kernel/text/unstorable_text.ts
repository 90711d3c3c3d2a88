/** Deeper values overflow the stack of what writes or reads them: JSON.stringify, PostgreSQL's jsonb. */
export const MAX_NESTING = 500;

/** Where a value cannot be stored, and why. */
export interface UnstorableText {
  /** `a.b[0]`; empty when it is the value itself. */
  readonly path: string;
  /** What is wrong there, to follow the path in a message: `holds a NUL character (U+0000)`. */
  readonly problem: string;
}

/** Stands for a value of a row that a file holds and that cannot be read exactly; {@link unstorableTextIn} finds it. */
export class UnreadableValue {
  /** Follows the value's path in a message: `holds bytes that are not UTF-8`. */
  readonly problem: string;
  readonly #shown: string;

  /** @param shown - the value as messages and dead letters show it */
  constructor(problem: string, shown: string) {
    this.problem = problem;
    this.#shown = shown;
  }

  toString(): string {
    return this.#shown;
  }

  toJSON(): string {
    return this.#shown;
  }
}

const NUL = 'holds a NUL character (U+0000)';
const SURROGATE = 'holds half of a surrogate pair, which is not valid Unicode';
const TOO_DEEP = `is nested more than ${MAX_NESTING} levels deep`;

/** Longer names are cut in a path. */
const NAME_CHARS = 60;

/**
 * Returns the first place in a JSON value that no store takes as text: a NUL character (PostgreSQL refuses it), half of a surrogate pair (it has
 * no UTF-8), in a string or in a field's name; a value nested deeper than {@link MAX_NESTING}, also one that holds itself; or an
 * {@link UnreadableValue}. Other values (numbers, Dates, byte arrays) pass.
 *
 * A clean value costs one visit to each string and allocates only the lists of fields' names.
 */
export function unstorableTextIn(value: unknown): UnstorableText | undefined {
  return typeof value === 'string' ? problemOf(value, '') : typeof value === 'object' ? search(value, 0) : undefined;
}

function search(value: object | null, depth: number): UnstorableText | undefined {
  if (value === null || ArrayBuffer.isView(value)) return undefined;
  if (depth >= MAX_NESTING) return { path: '', problem: TOO_DEEP };
  if (value instanceof UnreadableValue) return { path: '', problem: value.problem };
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const found = searchAny(value[index], depth);
      if (found !== undefined) return below(`[${index}]`, found);
    }
    return undefined;
  }
  for (const name of Object.keys(value)) {
    if (!isStorable(name)) return problemOf(name, readable(name), 'has a name that ');
    const found = searchAny((value as Readonly<Record<string, unknown>>)[name], depth);
    if (found !== undefined) return below(readable(name), found);
  }
  return undefined;
}

function searchAny(value: unknown, depth: number): UnstorableText | undefined {
  if (typeof value === 'string') return isStorable(value) ? undefined : problemOf(value, '');
  return typeof value === 'object' ? search(value, depth + 1) : undefined;
}

/** Whether every store takes a text: it holds no NUL character and no half of a surrogate pair. */
export const isStorable = (text: string): boolean => !text.includes('\0') && text.isWellFormed();

function problemOf(text: string, path: string, before = ''): UnstorableText | undefined {
  if (text.includes('\0')) return { path, problem: `${before}${NUL}` };
  return text.isWellFormed() ? undefined : { path, problem: `${before}${SURROGATE}` };
}

/** Too deep a path says nothing: its beginning does. */
function below(step: string, { path, problem }: UnstorableText): UnstorableText {
  if (problem === TOO_DEEP) return { path: step, problem };
  const separator = path === '' || path.startsWith('[') ? '' : '.';
  return { path: `${step}${separator}${path}`, problem };
}

/** A name that can itself be stored and logged. */
const readable = (name: string): string => name.slice(0, NAME_CHARS).replaceAll('\0', '\\u0000').toWellFormed();

/** Returns a text with what no store takes replaced by U+FFFD: for reasons and names that must be written whatever they hold. */
export const storable = (text: string): string => text.replaceAll('\0', '\ufffd').toWellFormed();

/** Returns a value with {@link storable} strings and names; itself when all of them are. Not for values nested too deep. */
export function storableValue<T>(value: T): T {
  return unstorableTextIn(value) === undefined ? value : (replaced(value) as T);
}

function replaced(value: unknown): unknown {
  if (typeof value === 'string') return storable(value);
  if (Array.isArray(value)) return value.map(replaced);
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [storable(name), replaced(field)]));
}
