import type { ApplyOwner } from '#feature_store/offline/applied_definitions';
import { PlatformError } from '#kernel/errors';

/** Another `headwater apply` runs. */
export class ApplyRunsError extends PlatformError {
  readonly code = 'CLI_APPLY_RUNS';

  constructor(owner: ApplyOwner | undefined) {
    const other = owner === undefined ? 'another process' : `process ${owner.pid} on ${owner.host}`;
    super(
      `another headwater apply runs: ${other}. Wait until it has ended; if it was stopped on a machine that is gone, use --take-over`,
      { fault: 'caller', retryable: true },
    );
  }
}

/** Another process has taken this apply over. */
export class ApplyTakenOverError extends PlatformError {
  readonly code = 'CLI_APPLY_TAKEN_OVER';

  constructor() {
    super('another headwater apply has taken this one over and does what remains', {
      fault: 'dependency',
      retryable: false,
    });
  }
}

/** A back-fill of an apply has failed. */
export class ApplyFailedError extends PlatformError {
  readonly code = 'CLI_APPLY_FAILED';

  constructor(views: readonly string[], problem: string) {
    super(`back-fill of ${views.join(', ')}: ${problem}. headwater apply resumes from here`, {
      fault: 'caller',
      retryable: true,
    });
  }
}

/** A commit to compare with cannot be checked out. */
export class GitReferenceError extends PlatformError {
  readonly code = 'CLI_GIT_REFERENCE';

  constructor(reference: string, problem: string) {
    super(`--against ${reference}: ${problem}`, { fault: 'caller', retryable: false });
  }
}

/** Definitions cannot be read from their sources. */
export class DefinitionsNotLoadedError extends PlatformError {
  readonly code = 'CLI_DEFINITIONS_NOT_LOADED';

  constructor(file: string, problem: string, cause?: unknown) {
    super(`the definitions in ${file} cannot be read: ${problem}`, { fault: 'caller', retryable: false, cause });
  }
}
