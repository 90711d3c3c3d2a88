import { PlatformError } from '#kernel/errors';
import { storable } from '#kernel/unstorable_text';

const LONGEST_NAMED = 200;
const shown = (text: string): string =>
  storable(text.length <= LONGEST_NAMED ? text : `${text.slice(0, LONGEST_NAMED)}…`);

export class RouteNotFoundError extends PlatformError {
  readonly code = 'HTTP_NOT_FOUND';
  readonly httpStatus = 404;

  constructor(method: string, url: string) {
    super(`there is no ${method} ${shown(url)}; GET /docs lists what there is`, { fault: 'caller', retryable: false });
  }
}

/** A path that has other methods; they are in the Allow header of the answer. */
export class MethodNotAllowedError extends PlatformError {
  readonly code = 'HTTP_METHOD_NOT_ALLOWED';
  readonly httpStatus = 405;
  readonly headers: Readonly<Record<string, string>>;

  constructor(method: string, url: string, allowed: readonly string[]) {
    super(`${shown(url)} does not take ${method}: send ${allowed.join(', ')}`, { fault: 'caller', retryable: false });
    this.headers = { allow: allowed.join(', ') };
  }
}

export class UnsupportedMediaTypeError extends PlatformError {
  readonly code = 'HTTP_UNSUPPORTED_MEDIA_TYPE';
  readonly httpStatus = 415;

  constructor(contentType: string | undefined, taken: string) {
    super(
      `content-type ${contentType === undefined ? '(none)' : shown(contentType)} is not taken here: send ${taken}`,
      {
        fault: 'caller',
        retryable: false,
      },
    );
  }
}

/** A request target with characters that no store can keep. */
export class InvalidTargetError extends PlatformError {
  readonly code = 'HTTP_INVALID_TARGET';
  readonly httpStatus = 400;
  readonly fields: readonly { readonly field: string; readonly problem: string }[];

  constructor(part: 'path' | 'query') {
    const problem = 'holds a NUL character (%00): leave it out';
    super(`the ${part} of the URL ${problem}`, { fault: 'caller', retryable: false });
    this.fields = [{ field: part, problem }];
  }
}

/** A listener with routes that do not declare who may call them, or that nothing guards. */
export class UndeclaredAccessError extends PlatformError {
  readonly code = 'MONITORING_UNDECLARED_ACCESS';

  constructor(problem: string) {
    super(problem, { fault: 'internal', retryable: false });
  }
}
