import { PlatformError } from '#kernel/errors';
import { knownNames } from '#kernel/known_names';

const LONGEST_SHOWN = 200;

/** The registry has no such model or version. */
export class UnknownModelError extends PlatformError {
  readonly code = 'REGISTRY_UNKNOWN_MODEL';
  readonly httpStatus = 404;

  constructor(model: string, known: readonly string[]) {
    const list = known.length === 0 ? 'the registry is empty' : knownNames(model, known);
    super(`there is no model ${model}; ${list}`, { fault: 'caller', retryable: false });
  }
}

/** A name that must not become part of a path, a filter or a key. */
export class InvalidNameError extends PlatformError {
  readonly code = 'REGISTRY_INVALID_NAME';

  constructor(what: string, value: unknown, rule: string) {
    const shown = String(JSON.stringify(value)).slice(0, LONGEST_SHOWN);
    super(`${shown} is not ${what}: it ${rule}`, { fault: 'caller', retryable: false });
  }
}

/** What was downloaded is not what was registered. */
export class ArtifactIntegrityError extends PlatformError {
  readonly code = 'REGISTRY_ARTIFACT_INTEGRITY';

  constructor(artifact: string, expected: string, found: string, algorithm = 'SHA-256') {
    super(
      `${artifact} has ${algorithm} ${found}, but ${expected} was registered: it was changed or cut short. Register the model again`,
      { fault: 'dependency', retryable: false },
    );
  }
}

/** A package that must not be registered or served; the message lists what is wrong with it. */
export class InvalidModelError extends PlatformError {
  readonly code = 'REGISTRY_INVALID_MODEL';

  constructor(problems: readonly string[], cause?: unknown) {
    super(`the model cannot be used: ${problems.join('; ')}`, { fault: 'caller', retryable: false, cause });
  }
}

/** The registry does not answer. */
export class RegistryUnavailableError extends PlatformError {
  readonly code = 'REGISTRY_UNAVAILABLE';

  constructor(what: string, cause: unknown) {
    super(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      fault: 'dependency',
      retryable: true,
      cause,
    });
  }
}

/** A training run that did not give a model; the message says what to do. */
export class TrainingError extends PlatformError {
  readonly code = 'REGISTRY_TRAINING';

  constructor(message: string, cause?: unknown) {
    super(message, { fault: 'caller', retryable: false, cause });
  }
}

/** A version that does not pass the gates; the message names each with what was found. */
export class PromotionRefusedError extends PlatformError {
  readonly code = 'REGISTRY_PROMOTION_REFUSED';

  constructor(model: string, version: number, failed: readonly string[]) {
    super(
      `${model} version ${version} is not promoted: ${failed.join('; ')}. --force does it all the same, and is kept`,
      {
        fault: 'caller',
        retryable: false,
      },
    );
  }
}

/** Two promotions of one model at once: the other one has it. */
export class PromotionConflictError extends PlatformError {
  readonly code = 'REGISTRY_PROMOTION_CONFLICT';

  constructor(model: string) {
    super(
      `another promotion of ${model} is under way: look at its outcome (headwater models list), then decide again`,
      {
        fault: 'caller',
        retryable: true,
      },
    );
  }
}

export class NothingToRollBackError extends PlatformError {
  readonly code = 'REGISTRY_NOTHING_TO_ROLL_BACK';

  constructor(model: string) {
    super(`${model} has no version in production that has replaced another: promote one by its number`, {
      fault: 'caller',
      retryable: false,
    });
  }
}

/** A graph was stopped in the process that computes it: it did not end, took too much memory, or took the process down. */
export class GraphStoppedError extends PlatformError {
  readonly code = 'REGISTRY_GRAPH_STOPPED';

  constructor(reason: string) {
    super(`the model was stopped: ${reason}`, { fault: 'dependency', retryable: true });
  }
}

/** A graph gave an integer that JSON, and the rows that are logged, do not hold exactly. */
export class InexactOutputError extends PlatformError {
  readonly code = 'REGISTRY_INEXACT_OUTPUT';

  constructor(output: string, value: bigint) {
    super(
      `output "${output}" is ${value}, beyond ±${Number.MAX_SAFE_INTEGER}: request it as a binary tensor of the Open Inference Protocol`,
      { fault: 'dependency', retryable: false },
    );
  }
}

/** Files of a version are missing or short, as while it is being uploaded: it is tried again. */
export class IncompleteModelError extends PlatformError {
  readonly code = 'REGISTRY_INCOMPLETE_MODEL';

  constructor(what: string) {
    super(`the model is not complete: ${what}. It is tried again; register it anew if it was not being uploaded`, {
      fault: 'dependency',
      retryable: true,
    });
  }
}
