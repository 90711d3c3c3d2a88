import { PlatformError } from '#kernel/errors';

/** A listener with routes that do not declare who may call them, or that nothing guards. */
export class UndeclaredAccessError extends PlatformError {
  readonly code = 'MONITORING_UNDECLARED_ACCESS';

  constructor(problem: string) {
    super(problem, { fault: 'internal', retryable: false });
  }
}
