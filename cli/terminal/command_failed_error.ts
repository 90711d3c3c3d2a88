import { PlatformError } from '#kernel/errors';

/** A valid command that cannot be done with the data, files and names that exist. Exit code 1. */
export class CommandFailedError extends PlatformError {
  readonly code = 'CLI_COMMAND_FAILED';

  constructor(message: string) {
    super(message, { fault: 'caller', retryable: false });
  }
}
