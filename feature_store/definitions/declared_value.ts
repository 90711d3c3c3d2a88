import { isStorable } from '#kernel/unstorable_text';
import type { FeatureType } from './feature.ts';
import type { FeatureValue } from './feature_row.ts';

/**
 * Returns what a feature's function or aggregation returned, as stores and models take it: undefined is missing (null), and so is NaN for a number, as of
 * a ratio 0/0.
 *
 * @throws {WrongTypeError} for a value of another type than declared, and for a number beyond all doubles (Infinity)
 */
export function declaredValue(type: FeatureType, value: unknown): FeatureValue {
  if (value === null || value === undefined) return null;
  if (Number.isNaN(value) && (type === 'double' || type === 'long')) return null;
  switch (type) {
    case 'double':
      if (typeof value === 'number' && Number.isFinite(value)) return value;
      break;
    case 'long':
      if (Number.isSafeInteger(value)) return value as number;
      break;
    case 'boolean':
      if (typeof value === 'boolean') return value;
      break;
    case 'string':
      if (typeof value === 'string' && isStorable(value)) return value;
  }
  throw new WrongTypeError(type, value);
}

const SHOWN_CHARS = 60;

/** A value is not of the declared type. Wrapped before it leaves the feature store, with the feature's name. */
export class WrongTypeError extends TypeError {
  constructor(type: FeatureType, value: unknown) {
    super(`it is declared ${type}, and the value is ${described(value)}`);
  }
}

function described(value: unknown): string {
  if (typeof value === 'string') {
    const shown = JSON.stringify(value.slice(0, SHOWN_CHARS));
    return isStorable(value) ? `the string ${shown}` : `a string that no store takes, ${shown}`;
  }
  if (typeof value === 'number' && !Number.isFinite(value)) return `${value}, which is beyond the largest double`;
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint')
    return `${typeof value} ${value}`;
  if (value instanceof Promise) return 'a promise: features are computed synchronously';
  return Array.isArray(value) ? 'an array' : typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
