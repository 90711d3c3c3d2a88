import type { JsonValue } from '#kernel/json';
import { isStorable } from '#kernel/text/unstorable_text';
import { decimalText, hasDigits, unscaledOf } from './decimal_text.ts';
import type { FeatureValue } from './feature_row.ts';
import { timestampOfMs, timestampText } from './timestamp_text.ts';
import { type FeatureType, isPlainType, typeOf, type ValueType } from './value_type.ts';
import { WrongTypeError } from './wrong_type_error.ts';

/** How values of one type are checked, and read where they are stored. */
export interface ValueCodec {
  /** Returns a value as the type has it; null for what is missing. @throws {@link WrongTypeError} for what is not of the type */
  take(value: unknown): FeatureValue;
  /** Reads the JSON form, or the packed one. @throws {@link WrongTypeError} for what is neither */
  read(stored: unknown): FeatureValue;
}

const codecs = new Map<FeatureType, ValueCodec>();

/** Returns the codec of a type that a definition was checked to have. */
export function codecOf(type: FeatureType): ValueCodec {
  let codec = codecs.get(type);
  if (codec === undefined) {
    codec = { take: outermost(type, takerOf(typeOf(type), false)), read: outermost(type, takerOf(typeOf(type), true)) };
    codecs.set(type, codec);
  }
  return codec;
}

/** Whether values of the type are what JSON gives back: no codec has to read them. */
export const isOwnJson = (type: FeatureType): boolean =>
  isPlainType(type) || type === 'timestamp' || type.startsWith('decimal(');

type Take = (value: unknown) => FeatureValue;

/** What is wrong, and where inside of the value. */
class Refusal {
  readonly value: unknown;
  readonly problem: string | undefined;
  path = '';

  constructor(value: unknown, problem?: string) {
    this.value = value;
    this.problem = problem;
  }
}

const outermost =
  (type: FeatureType, take: Take): Take =>
  (value) => {
    if (value === null || value === undefined) return null;
    try {
      return take(value);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      throw new WrongTypeError(type, error.value, { path: error.path, problem: error.problem });
    }
  };

/** @param isStored - takes the packed form as well */
function takerOf(type: ValueType, isStored: boolean): Take {
  switch (type.kind) {
    case 'decimal':
      return (value) => takeDecimal(value, type);
    case 'embedding':
      return (value) => takeEmbedding(value, type.dimension, isStored);
    case 'array': {
      const take = takerOf(type.element, isStored);
      return (value) => {
        if (!Array.isArray(value)) throw new Refusal(value);
        return Array.from(value, (element, at) => within(`[${at}]`, take, element));
      };
    }
    case 'struct': {
      const fields = type.fields.map((field) => ({ name: field.name, take: takerOf(field.type, isStored) }));
      const names = new Set(fields.map(({ name }) => name));
      return (value) => {
        if (!isRecord(value)) throw new Refusal(value);
        const unknown = Object.keys(value).find((name) => !names.has(name));
        if (unknown !== undefined) {
          throw new Refusal(value, `it has a field "${unknown.slice(0, 60).toWellFormed()}", which the type has not`);
        }
        const taken: Record<string, FeatureValue> = {};
        for (const { name, take } of fields) {
          taken[name] = within(`.${name}`, take, Object.hasOwn(value, name) ? value[name] : null);
        }
        return taken;
      };
    }
    case 'long':
    case 'double': {
      const take = SCALARS[type.kind];
      // Files write numbers as integers of 64 bits.
      return isStored ? (value) => take(typeof value === 'bigint' ? exactNumber(value) : value) : take;
    }
    default:
      return SCALARS[type.kind];
  }
}

const exactNumber = (integer: bigint): number | bigint =>
  BigInt(Number(integer)) === integer ? Number(integer) : integer;

function within(step: string, take: Take, value: unknown): FeatureValue {
  if (value === null || value === undefined) return null;
  try {
    return take(value);
  } catch (error) {
    if (error instanceof Refusal) error.path = step + error.path;
    throw error;
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  !ArrayBuffer.isView(value) &&
  !(value instanceof Date || value instanceof Map || value instanceof Set || value instanceof Promise);

const LOWEST_INT64 = -(2n ** 63n);
const HIGHEST_INT64 = 2n ** 63n - 1n;
const INTEGER = /^-?(0|[1-9]\d{0,18})$/;

const SCALARS: Readonly<Record<Exclude<ValueType['kind'], 'decimal' | 'embedding' | 'array' | 'struct'>, Take>> = {
  double(value) {
    if (typeof value !== 'number') throw new Refusal(value);
    if (Number.isNaN(value)) return null;
    if (!Number.isFinite(value)) throw new Refusal(value);
    return value + 0;
  },
  long(value) {
    if (Number.isNaN(value)) return null;
    if (!Number.isSafeInteger(value)) throw new Refusal(value);
    return (value as number) + 0;
  },
  int64(value) {
    const integer = integerOf(value);
    if (integer === undefined) throw new Refusal(value);
    if (integer < LOWEST_INT64 || integer > HIGHEST_INT64) throw new Refusal(value, 'it is beyond 64 bits');
    return integer;
  },
  boolean(value) {
    if (typeof value !== 'boolean') throw new Refusal(value);
    return value;
  },
  string(value) {
    if (typeof value !== 'string' || !isStorable(value)) throw new Refusal(value);
    return value;
  },
  timestamp(value) {
    if (typeof value !== 'string' && !(value instanceof Date)) throw new Refusal(value);
    const read = typeof value === 'string' ? timestampText(value) : timestampOfMs(value.getTime());
    if ('problem' in read) throw new Refusal(value, `it ${read.problem}`);
    return read.timestamp;
  },
  bytes(value) {
    if (value instanceof Uint8Array) return new Uint8Array(value);
    const bytes = typeof value === 'string' ? fromBase64(value) : undefined;
    if (bytes === undefined) throw new Refusal(value, 'it is neither bytes nor their base64');
    return bytes;
  },
};

function integerOf(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined;
  return typeof value === 'string' && INTEGER.test(value) ? BigInt(value) : undefined;
}

function takeDecimal(value: unknown, { precision, scale }: { readonly precision: number; readonly scale: number }) {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint') throw new Refusal(value);
  if (Number.isNaN(value)) return null;
  const unscaled = unscaledOf(String(value), scale);
  if (typeof unscaled === 'string') throw new Refusal(value, `it ${unscaled}`);
  if (!hasDigits(unscaled, precision))
    throw new Refusal(value, `it has more than ${precision - scale} digits before the point`);
  return decimalText(unscaled, scale);
}

const FLOAT_BYTES = 4;

function takeEmbedding(value: unknown, dimension: number, isStored: boolean): Float32Array {
  const numbers = isStored && typeof value === 'string' ? unpackFloats(value) : value;
  if (!Array.isArray(numbers) && !(numbers instanceof Float32Array) && !(numbers instanceof Float64Array)) {
    throw new Refusal(value);
  }
  if (numbers.length !== dimension) throw new Refusal(value, `it has ${numbers.length} numbers`);
  const taken = new Float32Array(dimension);
  for (let at = 0; at < dimension; at += 1) {
    const number: unknown = numbers[at];
    const rounded = typeof number === 'number' ? Math.fround(number) : Number.NaN;
    if (!Number.isFinite(rounded)) throw new Refusal(number, `its number ${at} is no finite float32`);
    taken[at] = rounded + 0;
  }
  return taken;
}

function fromBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? new Uint8Array(bytes) : undefined;
}

function unpackFloats(text: string): Float32Array | undefined {
  const bytes = fromBase64(text);
  if (bytes === undefined || bytes.length % FLOAT_BYTES !== 0) return undefined;
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / FLOAT_BYTES }, (_, at) => view.getFloat32(at * FLOAT_BYTES, true));
}

/** Returns little-endian float32 as base64. */
function packFloats(values: Float32Array): string {
  const bytes = Buffer.allocUnsafe(values.length * FLOAT_BYTES);
  for (let at = 0; at < values.length; at += 1) bytes.writeFloatLE(values[at] as number, at * FLOAT_BYTES);
  return bytes.toString('base64');
}

const base64Of = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');

/** Returns a value in its JSON form, which it tells by itself. */
export function jsonOfValue(value: FeatureValue): JsonValue {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  return jsonOfObject(value, (floats) => Array.from(floats));
}

/** Returns a value in the form that Redis holds: the JSON form, embeddings packed. */
function packedOf(value: FeatureValue): JsonValue {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  return jsonOfObject(value, packFloats);
}

function jsonOfObject(value: object, ofFloats: (values: Float32Array) => JsonValue): JsonValue {
  if (value instanceof Float32Array) return ofFloats(value);
  if (value instanceof Uint8Array) return base64Of(value);
  const inside = (each: FeatureValue): JsonValue =>
    typeof each === 'bigint'
      ? each.toString()
      : typeof each === 'object' && each !== null
        ? jsonOfObject(each, ofFloats)
        : each;
  if (Array.isArray(value)) return value.map(inside);
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, inside(each as FeatureValue)]));
}

/** What JSON does not have is null, as `JSON.stringify` writes it. */
const scalarText = (value: number | boolean | null | undefined): string =>
  typeof value === 'number' && !Number.isFinite(value) ? 'null' : `${value ?? null}`;

/** Returns a value as JSON text. */
export const valueText = (value: FeatureValue | undefined): string =>
  typeof value === 'string'
    ? JSON.stringify(value)
    : typeof value === 'bigint' || (typeof value === 'object' && value !== null)
      ? JSON.stringify(jsonOfValue(value))
      : scalarText(value);

/** Returns a value as the text of a packed row. */
export const packedText = (value: FeatureValue | undefined): string =>
  typeof value === 'string'
    ? JSON.stringify(value)
    : typeof value === 'bigint' || (typeof value === 'object' && value !== null)
      ? JSON.stringify(packedOf(value))
      : scalarText(value);

/** Returns values in their JSON form; the same object where they are that already. */
export function jsonOfValues<T extends Readonly<Record<string, FeatureValue>>>(
  values: T,
): Readonly<Record<string, JsonValue>> {
  for (const name in values) {
    const value = values[name] as FeatureValue;
    if (typeof value === 'bigint' || (typeof value === 'object' && value !== null)) {
      return Object.fromEntries(Object.entries(values).map(([key, each]) => [key, jsonOfValue(each)]));
    }
  }
  return values as Readonly<Record<string, JsonValue>>;
}

/** Returns a text that is the same for equal values, such as `[1,2]`: what tallies and sets of values hold. */
export const identityText = (value: unknown): string =>
  typeof value === 'object' && value !== null ? valueText(value as FeatureValue) : String(value);

/** Whether two values are the same. */
export const isSameValue = (a: FeatureValue | undefined, b: FeatureValue | undefined): boolean =>
  a === b || (typeof a === 'object' && typeof b === 'object' && valueText(a ?? null) === valueText(b ?? null));
