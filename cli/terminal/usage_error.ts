import { PlatformError } from '#kernel/errors';

/** A command line that is not valid: its form, not the data that it names. Exit code 2. */
export class UsageError extends PlatformError {
  readonly code = 'CLI_USAGE';

  constructor(message: string) {
    super(message, { fault: 'caller', retryable: false });
  }
}
