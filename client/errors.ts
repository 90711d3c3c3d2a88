/** Base of the errors of this client. */
export abstract class ClientError extends Error {
  /** Stable, as in docs/errors.md. */
  abstract readonly code: string;
  /** Who has to act. */
  readonly fault: 'caller' | 'dependency';
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;

  constructor(message: string, details: { fault: 'caller' | 'dependency'; retryable: boolean; cause?: unknown }) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.fault = details.fault;
    this.retryable = details.retryable;
  }
}

/** A field of a request that was refused. */
export interface FieldProblem {
  /** Path in the request: `features.amount`, `rows.0.entity`. */
  readonly field: string;
  readonly problem: string;
}

/** What an answer that is no success says. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly fields?: readonly FieldProblem[] | undefined;
}

const MAY_SUCCEED_LATER: ReadonlySet<number> = new Set([408, 425, 429, 502, 503, 504]);
const FIRST_SERVER_ERROR = 500;

/** The platform answered with an error. */
export class RequestFailedError extends ClientError {
  override readonly name = 'RequestFailedError';
  /** As in docs/errors.md; `HTTP_<status>` where something before the platform answered. */
  readonly code: string;
  /** Of HTTP. */
  readonly status: number;
  /** Fields of the request that were refused. */
  readonly fields: readonly FieldProblem[];
  /** Of the request, as logs and traces name it. */
  readonly requestId: string | undefined;
  /** Before the request is worth repeating, ms; where the platform has said it. */
  readonly retryAfterMs: number | undefined;

  constructor(request: string, status: number, refusal: Refusal, requestId: string | undefined, retryAfterMs?: number) {
    super(`${request}: ${refusal.message}`, {
      fault: status < FIRST_SERVER_ERROR ? 'caller' : 'dependency',
      retryable: MAY_SUCCEED_LATER.has(status),
    });
    this.code = refusal.code;
    this.status = status;
    this.fields = refusal.fields ?? [];
    this.requestId = requestId;
    this.retryAfterMs = retryAfterMs;
  }
}

/** No answer came: the connection failed. Whether the request was carried out is unknown. */
export class NoAnswerError extends ClientError {
  override readonly name = 'NoAnswerError';
  readonly code = 'CLIENT_NO_ANSWER';

  constructor(request: string, reason: string, cause: unknown) {
    super(`${request} failed: ${reason}`, { fault: 'dependency', retryable: true, cause });
  }
}

/** No answer came in time. Whether the request was carried out is unknown. */
export class AnswerTimeoutError extends ClientError {
  override readonly name = 'AnswerTimeoutError';
  readonly code = 'CLIENT_TIMEOUT';

  constructor(request: string, timeoutMs: number, cause: unknown) {
    super(`${request} had no answer within ${timeoutMs} ms`, { fault: 'dependency', retryable: true, cause });
  }
}

/** A success whose body is no JSON: something other than the platform listens at the address. */
export class UnreadableAnswerError extends ClientError {
  override readonly name = 'UnreadableAnswerError';
  readonly code = 'CLIENT_UNREADABLE_ANSWER';

  constructor(request: string, status: number) {
    super(`${request}: status ${status}, and the body is no JSON; does the platform listen at this address?`, {
      fault: 'dependency',
      retryable: false,
    });
  }
}
