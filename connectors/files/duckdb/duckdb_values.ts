import type {
  DuckDBArrayValue,
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBListValue,
  DuckDBMapType,
  DuckDBMapValue,
  DuckDBStructType,
  DuckDBStructValue,
  DuckDBType,
  DuckDBUnionType,
  DuckDBUnionValue,
  DuckDBValue,
  DuckDBValueConverter,
} from '@duckdb/node-api';
import { ExactDecimal } from '#kernel/exact/exact_decimal';
import { UnreadableValue } from '#kernel/text/unstorable_text';
import { DAY_MS } from '#kernel/time';
import { instantOf } from '#kernel/times/time_zone';
import type { DuckDb } from './duckdb.ts';

type ListType = DuckDBType & { readonly valueType: DuckDBType };
type Timestamp = DuckDBValue & { readonly isFinite?: boolean } & Readonly<
    Record<'seconds' | 'millis' | 'micros' | 'nanos', bigint>
  >;

const NANOS_OF_MS = 1_000_000n;

/**
 * Returns a converter of DuckDB's values that keeps each exactly: integers of 64 bits and more are bigints, decimals {@link ExactDecimal}, times strings of RFC 3339 with all
 * their digits, lists arrays, structs and maps objects.
 *
 * @param zone - of timestamps that have none, such as `Europe/Berlin`
 */
export function exactConverter({ types }: Pick<DuckDb, 'types'>, zone: string): DuckDBValueConverter<unknown> {
  return (value, type, self) => {
    if (value === null || value === undefined) return null;
    switch (type.typeId) {
      case types.DECIMAL:
        return new ExactDecimal(String(value));
      case types.DATE:
        return dateText((value as DuckDBDateValue).days, value);
      case types.TIMESTAMP_TZ:
        return instantText((value as Timestamp).micros * 1_000n, value);
      case types.TIMESTAMP_S:
        return localText((value as Timestamp).seconds * 1_000n * NANOS_OF_MS, zone, value);
      case types.TIMESTAMP_MS:
        return localText((value as Timestamp).millis * NANOS_OF_MS, zone, value);
      case types.TIMESTAMP:
        return localText((value as Timestamp).micros * 1_000n, zone, value);
      case types.TIMESTAMP_NS:
        return localText((value as Timestamp).nanos, zone, value);
      case types.BLOB:
        return new Uint8Array((value as DuckDBBlobValue).bytes);
      case types.LIST:
      case types.ARRAY:
        return (value as DuckDBListValue | DuckDBArrayValue).items.map((item) =>
          self(item, (type as ListType).valueType, self),
        );
      case types.STRUCT: {
        const { entryNames, entryTypes } = type as DuckDBStructType;
        const { entries } = value as DuckDBStructValue;
        return Object.fromEntries(
          entryNames.map((name, at) => [name, self(entries[name] ?? null, entryTypes[at] as DuckDBType, self)]),
        );
      }
      case types.MAP: {
        const { keyType, valueType } = type as DuckDBMapType;
        return Object.fromEntries(
          (value as DuckDBMapValue).entries.map((entry) => [
            String(self(entry.key, keyType, self)),
            self(entry.value, valueType, self),
          ]),
        );
      }
      case types.UNION: {
        const { tag, value: held } = value as DuckDBUnionValue;
        return self(held, (type as DuckDBUnionType).memberTypeForTag(tag), self);
      }
      // Times of day, UUIDs, intervals, enumerations as DuckDB writes them.
      default:
        return typeof value === 'object' ? String(value) : value;
    }
  };
}

/** RFC 3339 knows the years 1 to 9999; infinite times are beyond. */
const FIRST_NANOS = -62_135_596_800_000n * NANOS_OF_MS;
const END_NANOS = 253_402_300_800_000n * NANOS_OF_MS;
const isKnown = (nanos: bigint): boolean => nanos >= FIRST_NANOS && nanos < END_NANOS;

const unknownTime = (value: DuckDBValue): UnreadableValue =>
  new UnreadableValue(
    `holds the time ${value}, which is not within the years 1 to 9999: write it as a missing value`,
    `${value}`,
  );

function instantText(nanos: bigint, value: DuckDBValue): string | UnreadableValue {
  return isKnown(nanos) ? timeText(nanos) : unknownTime(value);
}

function dateText(days: number, value: DuckDBValue): string | UnreadableValue {
  const nanos = BigInt(days) * BigInt(DAY_MS) * NANOS_OF_MS;
  return isKnown(nanos) ? timeText(nanos).slice(0, 'yyyy-mm-dd'.length) : unknownTime(value);
}

function localText(nanos: bigint, zone: string, value: DuckDBValue): string | UnreadableValue {
  if (zone === 'UTC' || !isKnown(nanos)) return instantText(nanos, value);
  const rest = restOf(nanos);
  const instant = instantOf(Number((nanos - rest) / NANOS_OF_MS), zone);
  if (typeof instant === 'string') return new UnreadableValue(`holds ${value}, which ${instant}`, `${value}`);
  return instantText(BigInt(instant) * NANOS_OF_MS + rest, value);
}

/** Nanoseconds after the millisecond. */
const restOf = (nanos: bigint): bigint => ((nanos % NANOS_OF_MS) + NANOS_OF_MS) % NANOS_OF_MS;

function timeText(nanos: bigint): string {
  const rest = restOf(nanos);
  const digits = rest === 0n ? '' : String(rest).padStart(6, '0').replace(/0+$/, '');
  return `${new Date(Number((nanos - rest) / NANOS_OF_MS)).toISOString().slice(0, -1)}${digits}Z`;
}
