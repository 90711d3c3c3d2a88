import { PlatformError } from '#kernel/errors';

/** Something the demo promises did not hold; the message says what. */
export class DemoFailedError extends PlatformError {
  readonly code = 'CLI_DEMO_FAILED';

  constructor(problem: string) {
    super(`the demo failed: ${problem}`, { fault: 'dependency', retryable: false });
  }
}
