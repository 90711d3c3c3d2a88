import { PlatformError } from '#kernel/errors';
import type { Limit } from './config.ts';

/** No key or token, or one that is not known, revoked or expired. */
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

  /** @param isOfRefused - whether the requests had no valid key or token */
  constructor({ requests, windowMs }: Limit, isOfRefused: boolean) {
    super(
      isOfRefused
        ? `more than ${requests} requests without a valid key or token from this address in ${windowMs} ms: send a valid one`
        : `more than ${requests} requests in ${windowMs} ms: send larger batches, or less often`,
      { fault: 'caller', retryable: true },
    );
  }
}

/** A key or token that may not do this. */
export class ForbiddenError extends PlatformError {
  readonly code = 'HTTP_FORBIDDEN';
  readonly httpStatus = 403;

  /** @param scopes - of which one is needed */
  constructor(...scopes: readonly string[]) {
    super(`this key or token does not have the scope ${scopes.join(' or ')}`, { fault: 'caller', retryable: false });
  }
}

/** A page of another origin that sends something. */
export class ForeignOriginError extends PlatformError {
  readonly code = 'HTTP_FOREIGN_ORIGIN';
  readonly httpStatus = 403;

  constructor(origin: string, isConsole: boolean) {
    const way = isConsole
      ? 'the console takes actions from its own page alone'
      : 'add it to cors.allowedOrigins to let its pages send requests';
    super(`a page of ${JSON.stringify(origin.slice(0, 200))} sent this: ${way}`, { fault: 'caller', retryable: false });
  }
}

/** A request for another host: a page whose name was made to resolve to this machine. */
export class UnknownHostError extends PlatformError {
  readonly code = 'HTTP_UNKNOWN_HOST';
  readonly httpStatus = 421;

  constructor(host: string) {
    super(
      `this listener is bound to a loopback address and does not answer for host ${JSON.stringify(host.slice(0, 200))}: use localhost, or add the name to allowedHosts`,
      { fault: 'caller', retryable: false },
    );
  }
}

export class UnsupportedMediaTypeError extends PlatformError {
  readonly code = 'HTTP_UNSUPPORTED_MEDIA_TYPE';
  readonly httpStatus = 415;

  constructor(given: string | undefined, supported: string) {
    const sent =
      given === undefined ? 'there is no content-type' : `content-type ${JSON.stringify(given.slice(0, 200))}`;
    super(`${sent}: send ${supported}`, { fault: 'caller', retryable: false });
  }
}

/** The issuer's keys could not be fetched: the log has the address and the cause, the caller has neither. */
export class TokenKeysUnavailableError extends PlatformError {
  readonly code = 'HTTP_TOKEN_KEYS_UNAVAILABLE';
  readonly httpStatus = 503;

  constructor(cause: unknown) {
    super("the token cannot be checked: its issuer's keys are not available; send this again later", {
      ...{ fault: 'dependency', retryable: true, cause },
    });
  }
}

/** A keys file that cannot be used. */
export class KeysFileError extends PlatformError {
  readonly code = 'HTTP_KEYS_FILE';

  constructor(file: string, problem: string, cause?: unknown) {
    super(`keys file ${file}: ${problem}`, { fault: 'caller', retryable: false, cause });
  }
}

export class UnknownKeyError extends PlatformError {
  readonly code = 'HTTP_UNKNOWN_KEY';

  constructor(id: string, problem: string) {
    super(`key ${JSON.stringify(id)}: ${problem}; "headwater keys list" shows every key`, {
      ...{ fault: 'caller', retryable: false },
    });
  }
}
