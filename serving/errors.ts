import { PlatformError } from '#kernel/errors';
import { type FieldProblem, listedProblems, namedProblems } from '#kernel/field_problems';
import { listed, MOST_NAMED, shown } from '#kernel/problem_list';
import type { ColumnProblem } from '#registry/packages/signature_encoder';

/** No model of this name is served. */
export class UnknownServedModelError extends PlatformError {
  readonly code = 'SERVING_UNKNOWN_MODEL';
  readonly httpStatus = 404;

  constructor(name: string, served: readonly string[]) {
    const known = served.length === 0 ? '' : `; served: ${served.join(', ')}`;
    super(`model "${name}" is not served here${known}`, { fault: 'caller', retryable: false });
  }
}

/** A request that names a variant which nothing answers as. */
export class UnknownVariantError extends PlatformError {
  readonly code = 'SERVING_UNKNOWN_VARIANT';
  readonly httpStatus = 404;

  constructor(model: string, variant: string, known: readonly string[]) {
    super(`model "${model}" has no variant "${variant}"; it has ${known.join(', ')}`, {
      ...{ fault: 'caller', retryable: false },
    });
  }
}

/** No version of the model is loaded yet. */
export class ModelNotReadyError extends PlatformError {
  readonly code = 'SERVING_MODEL_NOT_READY';

  constructor(name: string, why: string) {
    super(`model "${name}" has no version that can answer: ${why}`, { fault: 'dependency', retryable: true });
  }
}

/** A model is configured to be computed by what onnxruntime does not have here. */
export class ExecutionProviderError extends PlatformError {
  readonly code = 'SERVING_EXECUTION_PROVIDER';

  /** @param where - the setting: serving.models: model "fraud" */
  constructor(where: string, provider: string, problem: string) {
    super(
      `${where} has the execution provider ${provider} in runtime.executionProviders, and ${problem}. Take it out, or install a build that has it`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** Features a model cannot take: the first 20 bad fields, and how many more there are. For a batch, fields read `instances.3.amount`. */
export class InvalidFeaturesError extends PlatformError {
  readonly code = 'SERVING_INVALID_FEATURES';
  readonly httpStatus = 422;
  readonly fields: readonly ColumnProblem[];

  /** @param total - of all problems, where `fields` are the first alone */
  constructor(fields: readonly ColumnProblem[], total: number = fields.length) {
    const problems = fields.map(({ field, problem }) => `${field} ${problem}`);
    const list = listed(problems, { separator: '; ', longest: 500, total });
    super(`the features were refused: ${list}`, { fault: 'caller', retryable: false });
    this.fields = fields.slice(0, MOST_NAMED);
  }
}

/** A request whose parts have the right form, and cannot be answered together or by the model. */
export class InvalidRequestError extends PlatformError {
  readonly code = 'SERVING_INVALID_REQUEST';
  readonly fields: readonly FieldProblem[] | undefined;

  /** @param problem - as a sentence; or of fields, which the answer then names */
  constructor(problem: string | readonly FieldProblem[]) {
    const isText = typeof problem === 'string';
    const message = isText ? problem : `the request was refused: ${listedProblems(problem, 'the body')}`;
    super(message, { fault: 'caller', retryable: false });
    this.fields = isText ? undefined : namedProblems(problem);
  }
}

/** Features for a model whose graph takes tensors of other shapes. */
export class TensorsOnlyError extends PlatformError {
  readonly code = 'SERVING_TENSORS_ONLY';

  constructor(model: string, why: string) {
    super(
      `model "${model}" cannot be given features: ${why}. Send them to /v2/models/${model}/infer, or as "inputs" to /invocations`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** A prediction that cannot be explained. */
export class ExplanationUnavailableError extends PlatformError {
  readonly code = 'SERVING_EXPLANATION_UNAVAILABLE';
  readonly httpStatus = 422;

  constructor(model: string, why: string) {
    super(`predictions of model "${model}" cannot be explained: ${why}`, { fault: 'caller', retryable: false });
  }
}

/** A model gave an infinity or NaN, which is no answer. */
export class OutputNotFiniteError extends PlatformError {
  readonly code = 'SERVING_OUTPUT_NOT_FINITE';
  readonly httpStatus = 422;

  constructor(model: string, row: number, value: number) {
    super(
      `model "${model}" gave ${value} for row ${row}: its values are beyond what the model can compute with. The tensors themselves are in the answer of /v2/models/${model}/infer`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** A version that does not answer here. */
export class UnknownServedVersionError extends PlatformError {
  readonly code = 'SERVING_UNKNOWN_VERSION';
  readonly httpStatus = 404;

  constructor(name: string, version: string, answering: readonly (number | undefined)[]) {
    super(`version ${version} of ${name} does not answer here: version ${answering.join(', ')} does`, {
      fault: 'caller',
      retryable: false,
    });
  }
}

/** No row of features is known for the entity. */
export class UnknownEntityError extends PlatformError {
  readonly code = 'SERVING_UNKNOWN_ENTITY';
  readonly httpStatus = 404;

  constructor(entity: string, view: string) {
    super(`there are no features of ${view} for "${entity}": send them in "features"`, {
      fault: 'caller',
      retryable: false,
    });
  }
}

/** A version that has failed again and again, and is left alone for a moment. */
export class ModelFailingError extends PlatformError {
  readonly code = 'SERVING_MODEL_FAILING';

  constructor(name: string, version: number) {
    super(`version ${version} of model "${name}" has failed again and again, and is tried again within a second`, {
      fault: 'dependency',
      retryable: true,
    });
  }
}

/** More requests wait than the model can answer in time. */
export class OverloadedError extends PlatformError {
  readonly code = 'SERVING_OVERLOADED';

  constructor() {
    super('more rows are waiting than can be answered in time: try again in a second', {
      fault: 'dependency',
      retryable: true,
    });
  }
}

/** The caller has said how long it waits, and that is over. */
export class DeadlinePassedError extends PlatformError {
  readonly code = 'SERVING_DEADLINE_PASSED';
  readonly httpStatus = 504;

  constructor() {
    super('the answer would come later than x-request-timeout-ms allows: it is not computed', {
      fault: 'dependency',
      retryable: true,
    });
  }
}

/** A change of routing that cannot be made as things are. */
export class RoutingConflictError extends PlatformError {
  readonly code = 'SERVING_ROUTING_CONFLICT';
  readonly httpStatus = 409;

  constructor(model: string, why: string) {
    super(`the routing of "${model}" was not changed: ${why}`, { fault: 'caller', retryable: false });
  }
}

export class UnknownExperimentError extends PlatformError {
  readonly code = 'SERVING_UNKNOWN_EXPERIMENT';
  readonly httpStatus = 404;

  constructor(model: string, experiment: string | undefined) {
    const which = experiment === undefined ? 'an experiment' : `the experiment "${experiment}"`;
    super(`there is not, and never was, ${which} with "${model}"`, { fault: 'caller', retryable: false });
  }
}

/** Feedback on a prediction of a model that the key may not send outcomes for. */
export class ForbiddenFeedbackError extends PlatformError {
  readonly code = 'SERVING_FORBIDDEN_FEEDBACK';
  readonly httpStatus = 403;

  constructor(requestId: string) {
    super(
      `request "${requestId}" is no stored prediction of a model that this key or token has the scope feedback for; a prediction is stored within a second of its answer`,
      { fault: 'caller', retryable: true },
    );
  }
}

/** Feedback that names its prediction by a request id of several answers. */
export class AmbiguousFeedbackError extends PlatformError {
  readonly code = 'SERVING_AMBIGUOUS_FEEDBACK';
  readonly httpStatus = 409;

  constructor(ambiguous: readonly { readonly name: string; readonly candidates: readonly string[] }[]) {
    const names = ambiguous.map(({ name, candidates }) => `${name} may be ${candidates.join(' or ')}`);
    super(
      `nothing was kept: ${listed(names, { separator: '; ', longest: 2_000 })}. Send "prediction_id" of the one that is meant`,
      {
        fault: 'caller',
        retryable: false,
      },
    );
  }
}

/** Feedback for a request id that no prediction in the log has. */
/** No row of the log has the id. */
export class PredictionNotLoggedError extends PlatformError {
  readonly code = 'SERVING_PREDICTION_NOT_LOGGED';
  readonly httpStatus = 404;

  constructor(id: string, row: number) {
    super(
      `no prediction in the log has the id ${shown(id)} and row ${row}: send "prediction_id" or "request_id" as the answer had it; the log is a moment behind`,
      { fault: 'caller', retryable: true },
    );
  }
}

export class UnknownPredictionError extends PlatformError {
  readonly code = 'SERVING_UNKNOWN_PREDICTION';
  readonly httpStatus = 404;

  constructor(names: readonly string[]) {
    super(
      `nothing was kept: no prediction in the log has ${listed(names)}. Send "prediction_id" as the answer had it, or send this again when the prediction is logged`,
      { fault: 'caller', retryable: true },
    );
  }
}

/** An answer of a provider that is not passed on. The message never holds the text or the answer. */
export class ProviderFailedError extends PlatformError {
  readonly code = 'SERVING_PROVIDER_FAILED';
  /** `unavailable`: another attempt may succeed. */
  readonly reason: 'unavailable' | 'refused' | 'unreadable' | 'invalid';

  constructor(reason: ProviderFailedError['reason'], message: string, cause?: unknown) {
    super(message, { fault: 'dependency', retryable: reason === 'unavailable', cause });
    this.reason = reason;
  }
}

/** The id that confirms an erasure is not that of the entity. */
export class ErasureNotConfirmedError extends PlatformError {
  readonly code = 'SERVING_ERASURE_NOT_CONFIRMED';

  constructor(id: string) {
    super(`an erasure cannot be undone: send {"confirm": ${JSON.stringify(id)}}`, {
      fault: 'caller',
      retryable: false,
    });
  }
}
