import { functionIdentityOf, textHash } from '#kernel/functions/function_identity';
import { encodeKey, type KeyValue } from '#kernel/keys/key_codec';
import type { CombineFn } from './dofn.ts';

type AnyFunction = (...args: never[]) => unknown;
type AnyCombineFn = CombineFn<never, unknown, unknown>;

const PARTS = ['createAccumulator', 'addInput', 'mergeAccumulators', 'extractOutput'] as const;

/**
 * Returns what a CombineFn's accumulators mean: what it declares itself, else a hash of its functions' sources, its other own fields and its empty accumulator (a
 * minimum and a maximum can have one source).
 */
export function combineIdentityOf(combineFn: Partial<AnyCombineFn> & Pick<AnyCombineFn, 'createAccumulator'>): string {
  if (combineFn.identity !== undefined) return combineFn.identity;
  const sources = PARTS.map((part) => {
    const fn = combineFn[part] as AnyFunction | undefined;
    return fn === undefined ? '' : functionIdentityOf(fn).hash;
  });
  const fields = Object.entries(combineFn).filter(([, value]) => typeof value !== 'function');
  return textHash(`${sources.join(' ')} ${dataText(fields)} ${dataText(combineFn.createAccumulator())}`);
}

/** Plain data as a text; a hash of its kind where it has no canonical form. */
function dataText(value: unknown): string {
  try {
    return Buffer.from(encodeKey(finite(value) as KeyValue)).toString('base64');
  } catch {
    return typeof value === 'object' && value !== null ? (value.constructor?.name ?? 'object') : typeof value;
  }
}

/** Infinities, which empty accumulators have, by name. */
function finite(value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) return ['not finite', String(value)];
  if (Array.isArray(value)) return value.map(finite);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([field, part]) => [field, finite(part)]));
}
