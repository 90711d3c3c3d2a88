import { isStorable } from '#kernel/text/unstorable_text';

const SHOWN_CHARS = 60;

/** A value is not of the declared type. Wrapped before it leaves the feature store, with the feature's name. */
export class WrongTypeError extends TypeError {
  /** @param inside - where in the value, and what is wrong there besides its type */
  constructor(
    type: string,
    value: unknown,
    inside: { readonly path?: string; readonly problem?: string | undefined } = {},
  ) {
    const { path = '', problem } = inside;
    const place = path === '' ? 'the value' : `its part ${path}`;
    super(`it is declared ${type}, and ${place} is ${described(value)}${problem === undefined ? '' : `: ${problem}`}`);
  }
}

function described(value: unknown): string {
  if (typeof value === 'string') {
    const shown = JSON.stringify(value.slice(0, SHOWN_CHARS));
    return isStorable(value) ? `the string ${shown}` : `a string that no store takes, ${shown}`;
  }
  if (typeof value === 'number' && !Number.isFinite(value)) return `${value}, which is beyond the largest double`;
  if (typeof value === 'bigint') return `bigint ${String(value).slice(0, SHOWN_CHARS)}`;
  if (typeof value === 'number' || typeof value === 'boolean') return `${typeof value} ${value}`;
  if (value instanceof Promise) return 'a promise: features are computed synchronously';
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name}`;
  return Array.isArray(value) ? 'an array' : typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
