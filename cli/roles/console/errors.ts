import { PlatformError } from '#kernel/errors';

/** No dead letter lies there. */
export class LetterNotFoundError extends PlatformError {
  readonly code = 'CONSOLE_LETTER_NOT_FOUND';
  readonly httpStatus = 404;

  constructor(where: string) {
    super(`there is no dead letter ${where}, partition and offset: it may be older than the topic's retention`, {
      fault: 'caller',
      retryable: false,
    });
  }
}

/** A dead letter that cannot be edited and sent again. */
export class LetterLockedError extends PlatformError {
  readonly code = 'CONSOLE_LETTER_LOCKED';
  readonly httpStatus = 409;

  constructor(where: string, why: string) {
    super(`the dead letter at ${where} cannot be sent again with other content: ${why}`, {
      fault: 'caller',
      retryable: false,
    });
  }
}
