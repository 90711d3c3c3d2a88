import { PlatformError } from '#kernel/errors';

/** A dead letter of a sink whose payload is no feature row. */
export class UnusableRowError extends PlatformError {
  readonly code = 'CLI_UNUSABLE_ROW';

  constructor(problem: string, cause?: unknown) {
    super(`the payload is no feature row: ${problem}`, { fault: 'caller', retryable: false, cause });
  }
}
