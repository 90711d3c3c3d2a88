import { PlatformError } from '#kernel/errors';

/** A DoFn's hook threw; the job fails with this once retries are used up. */
export class TransformFailedError extends PlatformError {
  readonly code = 'PIPELINE_TRANSFORM_FAILED';

  constructor(transform: string, hook: string, element: unknown, cause: unknown) {
    const shown = element === undefined ? '' : ` on element ${describeElement(element)}`;
    super(
      `transform "${transform}" failed in ${hook}${shown}: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        fault: 'internal',
        retryable: true,
        cause,
      },
    );
  }
}

/** A graph or a call the engine cannot execute; the message says what and where. */
export class InvalidPipelineError extends PlatformError {
  readonly code = 'PIPELINE_INVALID';

  constructor(message: string) {
    super(message, { fault: 'caller', retryable: false });
  }
}

/** A snapshot exists but cannot be used with this graph, or cannot be read. */
export class SnapshotError extends PlatformError {
  readonly code = 'PIPELINE_SNAPSHOT_UNUSABLE';

  constructor(message: string, cause?: unknown) {
    super(message, { fault: 'caller', retryable: false, cause });
  }
}

/** The job that runs was started with other definitions than the state that it is to take over. */
export class OtherDefinitionsError extends PlatformError {
  readonly code = 'PIPELINE_OTHER_DEFINITIONS';

  constructor(problem: string) {
    super(`${problem}: restart the job with the definitions of the state, it takes the state over then`, {
      fault: 'caller',
      retryable: false,
    });
  }
}

const SHOWN_CHARACTERS = 200;

/** An element for a message, cut short. */
export function describeElement(element: unknown): string {
  let text: string;
  try {
    text =
      JSON.stringify(element, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value)) ??
      String(element);
  } catch {
    text = String(element);
  }
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}… (${text.length} characters)` : text;
}
