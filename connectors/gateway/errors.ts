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

/** The broker is away, and what may wait for it on disk does. */
export class SpoolFullError extends PlatformError {
  readonly code = 'GATEWAY_SPOOL_FULL';
  readonly httpStatus = 503;

  constructor(bytes: number, maxBytes: number, problem: string) {
    super(
      `the broker is not available (${problem}), and ${bytes} of ${maxBytes} bytes wait for it on disk: send this again later`,
      { fault: 'dependency', retryable: true },
    );
  }
}
