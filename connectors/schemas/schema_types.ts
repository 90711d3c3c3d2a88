import { createRequire } from 'node:module';
import type { Ajv, ValidateFunction } from 'ajv';
import avsc, { type Schema } from 'avsc';

// How schemas become types: without losing numbers, and with the dialect of JSON Schema that a schema names.

const { LongType, LogicalType } = avsc.types;
const MOST_EXACT = BigInt(Number.MAX_SAFE_INTEGER);

/** Longs as numbers where that is exact, and as bigints beyond 2^53. */
const EXACT_LONG = LongType.__with({
  fromBuffer: (bytes: Buffer) => exact(bytes.readBigInt64LE()),
  toBuffer: (value: number | bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(value));
    return bytes;
  },
  fromJSON: (value: number) => value,
  toJSON: (value: number | bigint) => Number(value),
  isValid: (value: unknown) =>
    typeof value === 'bigint' ? BigInt.asIntN(64, value) === value : Number.isSafeInteger(value),
  compare: (a: number | bigint, b: number | bigint) => (a === b ? 0 : a < b ? -1 : 1),
});

const exact = (value: bigint): number | bigint => (value >= -MOST_EXACT && value <= MOST_EXACT ? Number(value) : value);

interface DecimalSchema {
  readonly precision?: number;
  readonly scale?: number;
}

/** Avro's decimal: a string of digits, such as "12.50", of which none is lost. */
class DecimalType extends LogicalType {
  #scale = 0;

  constructor(schema: DecimalSchema, options?: object) {
    super(schema as never, options);
    const { scale = 0 } = schema;
    this.#scale = scale;
  }

  protected override _fromValue(bytes: Buffer): string {
    return formatDecimal(fromTwosComplement(bytes), this.#scale);
  }

  protected override _toValue(value: unknown): Buffer | undefined {
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint') return undefined;
    const unscaled = parseDecimal(String(value), this.#scale);
    if (unscaled === undefined) return undefined;
    const { underlyingType } = this as unknown as { readonly underlyingType: { readonly size?: number } };
    return toTwosComplement(unscaled, underlyingType.size);
  }

  protected override _resolve(): undefined {
    return undefined;
  }
}

/** @param bytes - big-endian two's complement; empty is 0 */
function fromTwosComplement(bytes: Buffer): bigint {
  if (bytes.length === 0) return 0n;
  return BigInt.asIntN(bytes.length * 8, BigInt(`0x${bytes.toString('hex')}`));
}

/** @param size - of a fixed type; without it as few bytes as hold the value */
function toTwosComplement(value: bigint, size?: number): Buffer | undefined {
  let length = size ?? 1;
  const fits = (): boolean => BigInt.asIntN(length * 8, value) === value;
  if (size === undefined) while (!fits()) length += 1;
  else if (!fits()) return undefined;
  const digits = BigInt.asUintN(length * 8, value).toString(16);
  return Buffer.from(digits.padStart(length * 2, '0'), 'hex');
}

function formatDecimal(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? '-' : '';
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  return scale === 0 ? `${sign}${digits}` : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** @returns undefined when it is no decimal, or has more decimal places than the schema */
function parseDecimal(text: string, scale: number): bigint | undefined {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  const kept = fraction.replace(/0+$/, '');
  if (whole === undefined || kept.length > scale) return undefined;
  const unscaled = BigInt(`${whole}${kept.padEnd(scale, '0')}`);
  return sign === '-' ? -unscaled : unscaled;
}

const isLong = (schema: Schema): boolean =>
  typeof schema === 'object' && !Array.isArray(schema) && (schema as { readonly type?: unknown }).type === 'long';

/** Options of avsc, for the registry's client. */
export const AVRO_OPTIONS = {
  registry: { long: EXACT_LONG },
  // A long with attributes, such as a logical type, is no name that is looked up.
  typeHook: (schema: Schema) => (isLong(schema) ? EXACT_LONG : undefined),
  logicalTypes: { decimal: DecimalType },
} as const;

const require = createRequire(import.meta.url);
type AjvClass = new (options: object) => Ajv;
/** By the dialect that `$schema` names. */
const DIALECTS: readonly (readonly [pattern: RegExp, load: () => AjvClass])[] = [
  [/2020-12/, () => require('ajv/dist/2020').default as AjvClass],
  [/2019-09/, () => require('ajv/dist/2019').default as AjvClass],
  [/./, () => require('ajv').default as AjvClass],
];

/** Compiles each schema in its own dialect; one without `$schema` in draft 7, as Confluent's clients do. */
export class DialectAjv {
  readonly #instances = new Map<RegExp, Ajv>();
  readonly #references: (readonly [schema: object, id: string | undefined])[] = [];

  addSchema(schema: object, id?: string): void {
    this.#references.push([schema, id]);
  }

  compile(schema: { readonly $schema?: string }): ValidateFunction {
    const named = typeof schema.$schema === 'string' && schema.$schema !== '' ? schema.$schema : 'draft-07';
    const [pattern, load] = DIALECTS.find(([one]) => one.test(named)) as (typeof DIALECTS)[number];
    let ajv = this.#instances.get(pattern);
    if (ajv === undefined) {
      // Unknown keywords are annotations, as the specification says.
      ajv = new (load())({ strict: false, allowUnionTypes: true });
      this.#instances.set(pattern, ajv);
    }
    for (const [reference, id] of this.#references) {
      if (id === undefined || ajv.getSchema(id) === undefined) ajv.addSchema(reference, id);
    }
    return ajv.compile(schema);
  }
}
