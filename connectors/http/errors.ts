import { PlatformError } from '#kernel/errors';

export class UnauthorizedError extends PlatformError {
  readonly code = 'HTTP_UNAUTHORIZED';
  readonly httpStatus = 401;

  constructor(problem: string) {
    super(problem, { fault: 'caller', retryable: false });
  }
}

export class RateLimitedError extends PlatformError {
  readonly code = 'HTTP_RATE_LIMITED';
  readonly httpStatus = 429;

  constructor(requests: number, windowMs: number) {
    super(`more than ${requests} requests in ${windowMs} ms: send larger batches, or less often`, {
      fault: 'caller',
      retryable: true,
    });
  }
}

/** A key or token that may not do this. */
export class ForbiddenError extends PlatformError {
  readonly code = 'HTTP_FORBIDDEN';
  readonly httpStatus = 403;

  constructor(scope: string) {
    super(`this key or token does not have the scope ${scope}`, { fault: 'caller', retryable: false });
  }
}
