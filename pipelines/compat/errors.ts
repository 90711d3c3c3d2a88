import { PlatformError } from '#kernel/errors';

/** npm's apache-beam does not load on this Node. */
export class BeamUnavailableError extends PlatformError {
  readonly code = 'PIPELINE_BEAM_UNAVAILABLE';

  constructor(problem: string, cause?: unknown) {
    super(problem, { fault: 'caller', retryable: false, cause });
  }
}
