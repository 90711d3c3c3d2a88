import { PlatformError } from '#kernel/errors';

/** A command line that cannot be followed. */
export class UsageError extends PlatformError {
  readonly code = 'CLI_USAGE';

  constructor(message: string) {
    super(message, { fault: 'caller', retryable: false });
  }
}
