import { messageOf, PlatformError } from '#kernel/errors';

/** npm's apache-beam does not load on this Node. */
export class BeamUnavailableError extends PlatformError {
  readonly code = 'PIPELINE_BEAM_UNAVAILABLE';

  constructor(problem: string, cause?: unknown) {
    super(problem, { fault: 'caller', retryable: false, cause });
  }
}

/** Returns the error for what was thrown while a module was loaded, where apache-beam does not load on this Node; undefined for other errors. */
export function beamUnavailable(error: unknown): BeamUnavailableError | undefined {
  // A dependency of apache-beam calls a function of node:util that Node 23 removed.
  if (!(error instanceof TypeError && error.stack?.includes('serialize-closures') === true)) return undefined;
  return new BeamUnavailableError(
    `apache-beam does not load on Node ${process.versions.node}: run the pipeline on Node 20 or 22, or write it with headwater/pipelines (${messageOf(error)})`,
    error,
  );
}
