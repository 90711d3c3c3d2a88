import type { FailureClass } from '#connectors/failure_class';
import { messageOf, PlatformError } from '#kernel/errors';
import { type FieldProblem, listedProblems, namedProblems } from '#kernel/field_problems';
import { knownNames } from '#kernel/known_names';
import { storable } from '#kernel/text/unstorable_text';

export class UnknownViewError extends PlatformError {
  readonly code = 'FEATURE_STORE_UNKNOWN_VIEW';

  constructor(view: string, known: readonly string[]) {
    super(`there is no feature view "${view}"; ${knownNames(view, known)}`, { fault: 'caller', retryable: false });
  }
}

export class OfflineStoreError extends PlatformError {
  readonly code = 'FEATURE_STORE_OFFLINE';
  readonly failure: FailureClass;

  constructor(what: string, cause: unknown, failure: FailureClass) {
    super(`the offline store could not ${what}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      fault: failure === 'record' ? 'caller' : 'dependency',
      retryable: failure === 'transient',
      cause,
    });
    this.failure = failure;
  }
}

/** The database of a history is not named as it should be. The URL is not shown: it may hold a password. */
export class HistoryDatabaseError extends PlatformError {
  readonly code = 'FEATURE_STORE_HISTORY_DATABASE';

  constructor(variable: string, problem: string) {
    super(
      `history.database names the environment variable ${variable}, which ${problem}: set it, such as postgresql://user:password@host:5432/warehouse`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** The folder of the embedded database cannot be opened. */
export class OfflineFolderError extends PlatformError {
  readonly code = 'FEATURE_STORE_OFFLINE_FOLDER';

  constructor(folder: string, cause: unknown) {
    super(
      `the database in ${folder} does not open: ${cause instanceof Error ? cause.message : String(cause)}. Restore the folder from a backup, or move it away to begin with an empty history ("headwater features backfill" computes it again from past events)`,
      { fault: 'dependency', retryable: false, cause },
    );
  }
}

/** The key of the audit trail's anchors is not usable. */
export class AuditKeyError extends PlatformError {
  readonly code = 'FEATURE_STORE_AUDIT_KEY';

  constructor(path: string, problem: string, cause?: unknown) {
    super(
      `audit.anchor: ${path} ${problem}; name a file with an Ed25519 key in PEM (openssl genpkey -algorithm ed25519)`,
      {
        fault: 'caller',
        retryable: false,
        cause,
      },
    );
  }
}

/** The audit trail in the database is not the one that was anchored. */
export class AuditTrailChangedError extends PlatformError {
  readonly code = 'FEATURE_STORE_AUDIT_TRAIL_CHANGED';

  constructor(entry: number, anchored: string, found: string | undefined) {
    const now = found === undefined ? 'is gone' : `has hash ${found}`;
    super(
      `entry ${entry} of the audit trail ${now}, and had ${anchored} when it was anchored: the database was changed or restored. "headwater audit verify" names the first difference`,
      { fault: 'dependency', retryable: false },
    );
  }
}

/** History holds a value of another type than its feature is declared now. */
export class StoredValueError extends PlatformError {
  readonly code = 'FEATURE_STORE_STORED_VALUE';

  constructor(view: string, feature: string, of: { readonly entityKey: string; readonly time: string }, cause: Error) {
    super(
      `history of view ${view} holds another type of feature "${feature}" for ${of.entityKey} at ${of.time}: ${cause.message}. It was stored under another definition: compute it again ("headwater features backfill"), or give the view a new version`,
      { fault: 'caller', retryable: false, cause },
    );
  }
}

export class OnlineStoreError extends PlatformError {
  readonly code = 'FEATURE_STORE_ONLINE';
  readonly failure: FailureClass;

  constructor(what: string, cause: unknown, failure: FailureClass = 'transient') {
    super(`the online store could not ${what}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      fault: failure === 'record' ? 'caller' : 'dependency',
      retryable: failure === 'transient',
      cause,
    });
    this.failure = failure;
  }
}

/** Counters end here, a little below 2^53: up to it numbers and what reads them of Redis are exact. */
export const LARGEST_COUNT = 9_007_199_254_740_000;

/** A counter would be beyond the integers that numbers hold exactly; it stays as it was. */
export class CounterLimitError extends PlatformError {
  readonly code = 'FEATURE_STORE_COUNTER_LIMIT';
  readonly httpStatus = 409;

  constructor(counter: string, entityKey: string, by: number) {
    super(
      `counter ${counter} of ${entityKey} cannot take ${by} more: counters end at ${LARGEST_COUNT} and -${LARGEST_COUNT}. Count under another name`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** The table of the online store was not made. */
export class OnlineTableMissingError extends PlatformError {
  readonly code = 'FEATURE_STORE_ONLINE_TABLE_MISSING';
  readonly failure: FailureClass = 'target';

  constructor(table: string, region: string) {
    super(`the online store has no table ${table} in ${region}: make it with "headwater online-stores create"`, {
      fault: 'dependency',
      retryable: false,
    });
  }
}

/** The function of a feature threw, or returned a value of another type than declared. */
export class FeatureComputationError extends PlatformError {
  readonly code = 'FEATURE_STORE_COMPUTATION';
  /** The feature, filter or rule that failed. */
  readonly feature: string;

  constructor(view: string, feature: string, cause: unknown) {
    super(`feature "${feature}" of view ${view}: ${storable(messageOf(cause))}`, {
      fault: 'internal',
      retryable: false,
      cause,
    });
    this.feature = feature;
  }
}

/** A training set that cannot be made or read; the message says why. */
export class TrainingSetError extends PlatformError {
  readonly code = 'FEATURE_STORE_TRAINING_SET';

  constructor(message: string) {
    super(message, { fault: 'caller', retryable: false });
  }
}

/** Fields of a request that on-demand features need and cannot take: the first 20 bad ones, and how many more there are. */
export class RequestFieldsError extends PlatformError {
  readonly code = 'FEATURE_STORE_REQUEST_FIELDS';
  readonly httpStatus = 422;
  readonly fields: readonly FieldProblem[];

  constructor(fields: readonly FieldProblem[]) {
    super(`the request was refused: ${listedProblems(fields)}`, { fault: 'caller', retryable: false });
    this.fields = namedProblems(fields);
  }
}

export class UnknownServiceError extends PlatformError {
  readonly code = 'FEATURE_STORE_UNKNOWN_SERVICE';
  readonly httpStatus = 404;

  constructor(service: string, known: readonly string[]) {
    super(`there is no feature service "${service}"; ${knownNames(service, known)}`, {
      fault: 'caller',
      retryable: false,
    });
  }
}
