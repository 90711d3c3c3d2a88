import { PlatformError } from '#kernel/errors';

/** The configuration is not usable; the message lists every problem, one a line, and never a value of a secret. */
export class ConfigError extends PlatformError {
  readonly code = 'CONFIG_INVALID';

  constructor(message: string, cause?: unknown) {
    super(message, { fault: 'caller', retryable: false, cause });
  }
}
