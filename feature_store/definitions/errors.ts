import { PlatformError } from '#kernel/errors';

/** Definitions that cannot work; the message lists every problem, each with the view and the feature. */
export class DefinitionError extends PlatformError {
  readonly code = 'FEATURE_STORE_DEFINITION';

  constructor(problems: readonly string[]) {
    super(`the feature definitions have problems:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`, {
      fault: 'caller',
      retryable: false,
    });
  }
}
