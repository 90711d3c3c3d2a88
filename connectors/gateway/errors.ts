import { PlatformError } from '#kernel/errors';

export interface FieldProblem {
  /** Dotted path in the event; empty for the event as a whole. */
  readonly field: string;
  readonly problem: string;
}

/** An event that cannot be taken, with everything that is wrong with it. */
export class InvalidEventError extends PlatformError {
  readonly code = 'GATEWAY_INVALID_EVENT';
  readonly httpStatus = 400;
  readonly fields: readonly FieldProblem[];

  constructor(fields: readonly FieldProblem[]) {
    const list = fields.map(({ field, problem }) => (field === '' ? problem : `${field}: ${problem}`)).join('; ');
    super(`the event was refused: ${list}`, { fault: 'caller', retryable: false });
    this.fields = fields;
  }
}

export class UnauthorizedError extends PlatformError {
  readonly code = 'GATEWAY_UNAUTHORIZED';
  readonly httpStatus = 401;

  constructor() {
    super('send a valid API key in the x-api-key header', { fault: 'caller', retryable: false });
  }
}

export class BodyTooLargeError extends PlatformError {
  readonly code = 'GATEWAY_BODY_TOO_LARGE';
  readonly httpStatus = 413;

  constructor(maxBytes: number) {
    super(`the body is larger than ${maxBytes} bytes: send less at once, as several requests`, {
      fault: 'caller',
      retryable: false,
    });
  }
}
