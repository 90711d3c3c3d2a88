import { messageOf } from '#kernel/errors';
import type { CombineFn } from './dofn.ts';
import { describeElement, TransformFailedError } from './errors.ts';

type AnyCombineFn = CombineFn<unknown, unknown, unknown>;

/**
 * Returns a CombineFn whose errors name it, the call and the input, and the transform where one is given: they are thrown while another transform puts an element out, which
 * would be blamed otherwise.
 */
export function callsOf(combineFn: CombineFn<never, unknown, unknown>, transform?: string): AnyCombineFn {
  const fn = combineFn as unknown as AnyCombineFn;
  const failed = (call: string, element: unknown, error: unknown): Error => {
    if (error instanceof TransformFailedError) return error;
    const where = `${call} of CombineFn ${combineFnName(combineFn)}`;
    if (transform !== undefined) return new TransformFailedError(transform, where, element, error);
    const shown = element === undefined ? '' : ` on ${describeElement(element)}`;
    return new Error(`${where} failed${shown}: ${messageOf(error)}`, { cause: error });
  };
  return {
    createAccumulator() {
      try {
        return fn.createAccumulator();
      } catch (error) {
        throw failed('createAccumulator', undefined, error);
      }
    },
    addInput(accumulator, input) {
      try {
        return fn.addInput(accumulator, input);
      } catch (error) {
        throw failed('addInput', input, error);
      }
    },
    mergeAccumulators(accumulators) {
      try {
        return fn.mergeAccumulators(accumulators);
      } catch (error) {
        throw failed('mergeAccumulators', undefined, error);
      }
    },
    extractOutput(accumulator) {
      try {
        return fn.extractOutput(accumulator);
      } catch (error) {
        throw failed('extractOutput', undefined, error);
      }
    },
  };
}

/** Returns a CombineFn's name for messages: its identity, else its class. */
export function combineFnName(combineFn: CombineFn<never, unknown, unknown>): string {
  if (combineFn.identity !== undefined) return `"${combineFn.identity}"`;
  const made = combineFn.constructor as { readonly name: string } | undefined;
  return made === undefined || made === Object ? 'without an identity' : made.name;
}

/**
 * Returns the output of an accumulator that lives on: it shares nothing that changes with the accumulator. Plain data is copied; for instances of classes the
 * output is that of a merged copy, as Beam's in-memory state does it.
 */
export function outputApart(fn: AnyCombineFn, accumulator: unknown): unknown {
  const output = fn.extractOutput(accumulator);
  if (typeof output !== 'object' || output === null) return output;
  const copy = copyOf(output);
  if (copy !== NO_COPY) return copy;
  return fn.extractOutput(fn.mergeAccumulators([fn.createAccumulator(), accumulator]));
}

const NO_COPY = Symbol('no copy');

/** A deep copy of plain data; NO_COPY where something in it is of a class. */
function copyOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return typeof value === 'function' ? NO_COPY : value;
  if (Array.isArray(value)) return allCopied(value, (items) => items);
  if (value instanceof Map) {
    return allCopied([...value.keys(), ...value.values()], (items) => {
      const copy = new Map<unknown, unknown>();
      for (let index = 0; index < value.size; index += 1) copy.set(items[index], items[value.size + index]);
      return copy;
    });
  }
  if (value instanceof Set) return allCopied([...value], (items) => new Set(items));
  if (value instanceof Date) return new Date(value);
  if (ArrayBuffer.isView(value)) return structuredClone(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return NO_COPY;
  const fields = Object.entries(value);
  return allCopied(
    fields.map(([, part]) => part),
    (parts) => Object.fromEntries(fields.map(([name], index) => [name, parts[index]])),
  );
}

function allCopied(values: readonly unknown[], make: (copies: unknown[]) => unknown): unknown {
  const copies: unknown[] = [];
  for (const value of values) {
    const copy = copyOf(value);
    if (copy === NO_COPY) return NO_COPY;
    copies.push(copy);
  }
  return make(copies);
}
