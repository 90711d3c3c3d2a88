import { PlatformError } from '#kernel/errors';

/** A runner cannot do to its jobs what was requested. */
export class JobOperationUnsupportedError extends PlatformError {
  readonly code = 'PIPELINE_JOB_OPERATION_UNSUPPORTED';

  /** @param instead - why, and what to do */
  constructor(runner: string, operation: string, instead: string) {
    super(`jobs on ${runner} cannot be ${operation}: ${instead}`, { fault: 'caller', retryable: false });
  }
}

/** No job, or more than one, has a name. */
export class JobNotFoundError extends PlatformError {
  readonly code = 'PIPELINE_JOB_NOT_FOUND';

  constructor(message: string) {
    super(message, { fault: 'caller', retryable: false });
  }
}

/** A job is there, and is not as the operation requires. */
export class JobStateError extends PlatformError {
  readonly code = 'PIPELINE_JOB_STATE';

  constructor(message: string) {
    super(message, { fault: 'caller', retryable: false });
  }
}

/** A runner has refused, or could not do, what was requested. */
export class JobRequestFailedError extends PlatformError {
  readonly code = 'PIPELINE_JOB_REQUEST_FAILED';

  constructor(doing: string, reason: string, cause?: unknown) {
    super(`${doing}: ${reason}`, { fault: 'dependency', retryable: false, cause });
  }
}
