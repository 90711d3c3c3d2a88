import { PlatformError } from '#kernel/errors';

/** A job on another runner ended otherwise than done; the message holds what the runner said. */
export class JobFailedError extends PlatformError {
  readonly code = 'PIPELINE_JOB_FAILED';
  readonly #name: string;
  readonly #state: string;
  readonly #reasons: readonly string[];

  constructor(jobName: string, state: string, reasons: readonly string[]) {
    const said = reasons.length === 0 ? 'it gave no reason' : reasons.join('\n');
    super(`job "${jobName}" ended as ${state}: ${said}`, { fault: 'internal', retryable: false });
    this.#name = jobName;
    this.#state = state;
    this.#reasons = reasons;
  }

  /** The same with more reasons, said first. */
  with(reasons: readonly string[]): JobFailedError {
    return new JobFailedError(this.#name, this.#state, [...reasons, ...this.#reasons]);
  }
}

/** The job service of a runner cannot be reached, or went away. */
export class RunnerUnavailableError extends PlatformError {
  readonly code = 'PIPELINE_RUNNER_UNAVAILABLE';

  constructor(endpoint: string, doing: string, cause: unknown) {
    super(
      `the runner at ${endpoint} did not answer while ${doing}: ${cause instanceof Error ? cause.message : String(cause)}. Check that it runs and that the address is that of its job service`,
      { fault: 'dependency', retryable: true, cause },
    );
  }
}
