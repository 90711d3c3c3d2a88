import { PlatformError } from '#kernel/errors';
import { type FieldProblem, listedProblems, namedProblems } from '#kernel/field_problems';
import { storable } from '#kernel/text/unstorable_text';

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

/** A request with parts that the schema of its route refuses: the first 20 problems, and how many more were found. */
export class RequestSchemaError extends PlatformError {
  readonly code = 'HTTP_INVALID_REQUEST';
  readonly httpStatus = 400;
  readonly fields: readonly FieldProblem[];

  /** @param part - of the request: `body`, `querystring`, `params` or `headers` */
  constructor(part: string, problems: readonly FieldProblem[]) {
    super(`the request was refused: ${listedProblems(problems, `the ${part}`)}`, { fault: 'caller', retryable: false });
    this.fields = namedProblems(problems);
  }
}

/** RFC 9112, section 3.2: exactly one. */
export class HostHeaderError extends PlatformError {
  readonly code = 'HTTP_INVALID_HOST';
  readonly httpStatus = 400;

  constructor(problem: 'has none' | 'has several') {
    super(`a request of HTTP/1.1 has one Host header, and this one ${problem}: send one`, {
      fault: 'caller',
      retryable: false,
    });
  }
}

/** A header of one value came several times: clients, proxies and servers differ in which of them counts. */
export class RepeatedHeaderError extends PlatformError {
  readonly code = 'HTTP_REPEATED_HEADER';
  readonly httpStatus = 400;

  constructor(name: string) {
    super(`the header ${shown(name)} was sent more than once: send it once`, { fault: 'caller', retryable: false });
  }
}

export class UnsupportedExpectationError extends PlatformError {
  readonly code = 'HTTP_UNSUPPORTED_EXPECTATION';
  readonly httpStatus = 417;

  constructor(expectation: string) {
    super(`"expect: ${shown(expectation)}" is not supported: send 100-continue, or leave the header out`, {
      fault: 'caller',
      retryable: false,
    });
  }
}

export class UnsupportedTransferCodingError extends PlatformError {
  readonly code = 'HTTP_UNSUPPORTED_TRANSFER_CODING';
  readonly httpStatus = 400;

  constructor(coding: string) {
    super(`"transfer-encoding: ${shown(coding)}" is not supported: send chunked, and compress with content-encoding`, {
      fault: 'caller',
      retryable: false,
    });
  }
}

const BROKEN = {
  head: 'this is no request of HTTP/1.1, or its head is too large or too late',
  body: 'the body of this request is no body of HTTP/1.1, such as a chunk of a wrong length, ends before its end, or is too late',
} as const;
const BROKEN_CODES: Readonly<Record<number, string>> = { 408: 'HTTP_REQUEST_TIMEOUT', 431: 'HTTP_HEADERS_TOO_LARGE' };

/** What Node's parser cannot read. */
export class BrokenRequestError extends PlatformError {
  readonly code: string;
  readonly httpStatus: number;
  /** For the framework, which reads the body. */
  readonly statusCode: number;

  constructor(part: keyof typeof BROKEN, status: number) {
    super(BROKEN[part], { fault: 'caller', retryable: status === 408 });
    this.httpStatus = status;
    this.statusCode = status;
    this.code = BROKEN_CODES[status] ?? 'HTTP_BAD_REQUEST';
  }
}

/** A listener with routes that do not declare who may call them, or that nothing guards. */
export class UndeclaredAccessError extends PlatformError {
  readonly code = 'MONITORING_UNDECLARED_ACCESS';

  constructor(problem: string) {
    super(problem, { fault: 'internal', retryable: false });
  }
}

/** A plugin of the project could not be registered on a listener. */
export class PluginFailedError extends PlatformError {
  readonly code = 'HTTP_PLUGIN_FAILED';

  constructor(plugin: string, problem: string, cause: unknown) {
    super(`plugin ${plugin} cannot be registered: ${problem}`, { fault: 'caller', retryable: false, cause });
  }
}
