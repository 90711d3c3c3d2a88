import { isStorable } from '#kernel/text/unstorable_text';
import type { FeatureValue } from './feature_row.ts';
import { codecOf } from './value_codec.ts';
import type { FeatureType } from './value_type.ts';
import { WrongTypeError } from './wrong_type_error.ts';

/**
 * Returns what a feature's function or aggregation returned, as stores and models take it: undefined is missing (null), and so is NaN for a number, as of
 * a ratio 0/0; -0 is 0.
 *
 * @throws {WrongTypeError} for a value of another type than declared, and for a number beyond all doubles (Infinity)
 */
export function declaredValue(type: FeatureType, value: unknown): FeatureValue {
  if (value === null || value === undefined) return null;
  // The four types that most features have, without a call through their codecs.
  switch (type) {
    case 'double':
      if (typeof value !== 'number') break;
      if (Number.isFinite(value)) return value + 0;
      if (Number.isNaN(value)) return null;
      break;
    case 'long':
      if (Number.isSafeInteger(value)) return (value as number) + 0;
      if (Number.isNaN(value)) return null;
      break;
    case 'boolean':
      if (typeof value === 'boolean') return value;
      break;
    case 'string':
      if (typeof value === 'string' && isStorable(value)) return value;
      break;
    default:
      return codecOf(type).take(value);
  }
  throw new WrongTypeError(type, value);
}
