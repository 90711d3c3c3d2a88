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

/** A time that is none, or that lies where no time of its kind may be: it would be lost, or be late, without a word. */
export class InvalidTimeError extends PlatformError {
  readonly code = 'PIPELINE_INVALID_TIME';

  constructor(message: string) {
    super(message, { fault: 'caller', retryable: false });
  }
}

/** A job has nothing left to read, and transforms that can still put something out. */
export class JobNotFinishedError extends PlatformError {
  readonly code = 'PIPELINE_NOT_FINISHED';

  /** @param left - the transforms with the time that each is held at */
  constructor(left: readonly string[]) {
    super(
      `the job has nothing left to read or to fire, and is not finished: ${left.join(', ')}. Its results are not whole; report this with the pipeline`,
      { fault: 'internal', retryable: false },
    );
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
    text = JSON.stringify(element, (_, value: unknown) => described(value)) ?? String(element);
  } catch {
    text = String(element);
  }
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}… (${text.length} characters)` : text;
}

/** What JSON would write as null or as an empty object, by its kind. */
function described(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (value instanceof Map || value instanceof Set) return `${value.constructor.name}(${value.size})`;
  return value instanceof Uint8Array ? `Uint8Array(${value.length})` : value;
}
