import { PlatformError } from '#kernel/errors';

/**
 * What a failed write says. `record`: the target refuses what was sent and always will; the record is dead-lettered, alone. `target`: a person
 * has to mend the target (a missing table, missing rights); records wait. `transient`: the same write may succeed later; it is repeated.
 */
export type FailureClass = 'record' | 'target' | 'transient';

/** An error that carries its own class. */
export interface Classified {
  readonly failure: FailureClass;
}

/**
 * SQLSTATE classes and codes (PostgreSQL 15, appendix A) that speak of the rows. Class 21 holds "ON CONFLICT DO UPDATE command cannot affect row a
 * second time": smaller batches succeed. 54 are program limits, such as the size of an index entry. P0001 is a trigger's own refusal.
 */
const SQL_RECORD = /^(21|22|23|44|54|P0001)/;
/** Connection, rollback, resources, prerequisite state (locks), operator intervention, system errors; 25006 is a server that is read-only for now. */
const SQL_TRANSIENT = /^(08|40|53|55|57|58|25006)/;

/**
 * Returns the class of a SQLSTATE. Everything else speaks of the target: missing objects and rights (28, 3D, 3F, 42), features that the server
 * lacks (0A), internal errors (XX). Text that is no SQLSTATE comes from the connection, before the server answered.
 */
export function sqlFailure(code: string | undefined): FailureClass {
  if (code === undefined || !/^[0-9A-Z]{5}$/.test(code) || SQL_TRANSIENT.test(code)) return 'transient';
  return SQL_RECORD.test(code) ? 'record' : 'target';
}

/** Redis puts a word before its messages; a script adds where it was called, Redis 6 also before that word. */
const REDIS_RECORD =
  /WRONGTYPE|ERR (value|wrong number|string exceeds|string is longer|hash value|invalid expire|increment or decrement|resulting score)/;
const REDIS_TARGET =
  /\b(NOAUTH|WRONGPASS|NOPERM|NOPROTO|CROSSSLOT|EXECABORT)\b|ERR (unknown command|unknown subcommand|DB index|This instance has cluster support disabled)/;

/** Returns the class of an error answer of Redis. Others (LOADING, BUSY, OOM, READONLY, MISCONF, CLUSTERDOWN, TRYAGAIN, …) pass. */
export function redisFailure(message: string): FailureClass {
  if (REDIS_RECORD.test(message)) return 'record';
  return REDIS_TARGET.test(message) ? 'target' : 'transient';
}

/** Status codes of gRPC: 3 is INVALID_ARGUMENT, 11 OUT_OF_RANGE; 5, 7, 12 and 16 are NOT_FOUND, PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED. */
export function grpcFailure(code: number | undefined): FailureClass {
  if (code === 3 || code === 11) return 'record';
  return code === 5 || code === 7 || code === 12 || code === 16 ? 'target' : 'transient';
}

/** Returns the class of an exception of AWS, by its name. */
export function awsFailure(name: string | undefined): FailureClass {
  if (name === 'ValidationException' || name === 'InvalidArgumentException' || name === 'SerializationException') {
    return 'record';
  }
  return /^(ResourceNotFound|AccessDenied|UnrecognizedClient|ExpiredToken|InvalidSignature|KMS(?!Throttling))/.test(
    name ?? '',
  )
    ? 'target'
    : 'transient';
}

/**
 * Returns the class of anything that a write throws. An error of the platform that is not retryable refuses the record, unless it names a dependency
 * as the cause, such as a damaged file. A TypeError or RangeError of encoding (a bigint in JSON, an invalid time) is the record's too: `fetch` alone throws a TypeError with a cause.
 */
export function failureClassOf(error: unknown): FailureClass {
  const { failure } = error as Partial<Classified>;
  if (failure !== undefined) return failure;
  if (error instanceof PlatformError) {
    if (error.retryable) return 'transient';
    return error.fault === 'dependency' ? 'target' : 'record';
  }
  const isOfEncoding = (error instanceof TypeError || error instanceof RangeError) && error.cause === undefined;
  return isOfEncoding ? 'record' : 'transient';
}

/** Whether the target will never take what was sent. */
export const isRefusal = (error: unknown): boolean => failureClassOf(error) === 'record';
