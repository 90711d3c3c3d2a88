import { PlatformError } from '#kernel/errors';
import type { ColumnProblem } from '#registry/signature_encoder';

export class UnknownServedModelError extends PlatformError {
  readonly code = 'SERVING_UNKNOWN_MODEL';
  readonly httpStatus = 404;

  constructor(name: string, served: readonly string[]) {
    super(`model "${name}" is not served here; served: ${served.join(', ')}`, { fault: 'caller', retryable: false });
  }
}

export class ModelNotReadyError extends PlatformError {
  readonly code = 'SERVING_MODEL_NOT_READY';

  constructor(name: string, why: string) {
    super(`model "${name}" has no version that can answer: ${why}`, { fault: 'dependency', retryable: true });
  }
}

/** Features a model cannot take: every bad field at once. For a batch, fields read `instances.3.amount`. */
export class InvalidFeaturesError extends PlatformError {
  readonly code = 'SERVING_INVALID_FEATURES';
  readonly httpStatus = 422;
  readonly fields: readonly ColumnProblem[];

  constructor(fields: readonly ColumnProblem[]) {
    const list = fields.map(({ field, problem }) => `${field} ${problem}`).join('; ');
    super(`the features were refused: ${list}`, { fault: 'caller', retryable: false });
    this.fields = fields;
  }
}

export class InvalidRequestError extends PlatformError {
  readonly code = 'SERVING_INVALID_REQUEST';

  constructor(message: string) {
    super(message, { fault: 'caller', retryable: false });
  }
}

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

export class OverloadedError extends PlatformError {
  readonly code = 'SERVING_OVERLOADED';

  constructor() {
    super('more rows are waiting than can be answered in time: try again in a second', {
      fault: 'dependency',
      retryable: true,
    });
  }
}
