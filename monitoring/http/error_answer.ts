import { STATUS_CODES } from 'node:http';
import { PlatformError } from '#kernel/errors';
import type { FieldProblem } from '#kernel/field_problems';
import { MOST_NAMED, shown } from '#kernel/problem_list';

/** What went wrong with a request, whatever form it is answered in. */
export interface Failure {
  readonly status: number;
  /** As in docs/errors.md. */
  readonly code: string;
  readonly message: string;
  readonly fields?: readonly FieldProblem[] | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

const STATUS_BY_FAULT = { caller: 400, dependency: 503, internal: 500 } as const;
const RETRY_AFTER: Readonly<Record<string, string>> = { 'retry-after': '1' };
/** What the framework refuses, under codes of our own. */
const CODES: Readonly<Record<number, string>> = {
  404: 'HTTP_NOT_FOUND',
  408: 'HTTP_REQUEST_TIMEOUT',
  413: 'HTTP_BODY_TOO_LARGE',
  414: 'HTTP_URL_TOO_LONG',
  415: 'HTTP_UNSUPPORTED_MEDIA_TYPE',
  431: 'HTTP_HEADERS_TOO_LARGE',
};
const INTERNAL: Failure = {
  status: 500,
  code: 'HTTP_INTERNAL',
  message: 'something went wrong here; the log has it under the x-request-id of this answer',
  headers: {},
};

interface FrameworkError {
  readonly statusCode?: number;
  readonly message?: string;
}

/** Bytes of JSON that a message and its fields may have. An answer has each of them twice, and stays below 64 KB whatever was sent. */
const LARGEST_MESSAGE = 10_000;
const LARGEST_FIELDS = 16_000;
const LONGEST_PROBLEM = 500;

/** What to answer for anything thrown: bounded, however much a caller sent. Inner workings of unexpected errors stay in the log. */
export function failureOf(error: unknown): Failure {
  const failure = wholeFailureOf(error);
  return { ...failure, message: cutMessage(failure.message), fields: cutFields(failure.fields) };
}

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

function cutMessage(message: string): string {
  let kept = message.slice(0, LARGEST_MESSAGE);
  while (bytesOf(kept) > LARGEST_MESSAGE) kept = kept.slice(0, Math.floor(kept.length * 0.9));
  return kept.length === message.length ? message : shown(message, kept.length);
}

function cutFields(fields: Failure['fields']): Failure['fields'] {
  let bytes = 0;
  return fields
    ?.slice(0, MOST_NAMED)
    .map(({ field, problem }) => ({ field: shown(field), problem: shown(problem, LONGEST_PROBLEM) }))
    .filter((each) => {
      bytes += bytesOf(each);
      return bytes <= LARGEST_FIELDS;
    });
}

function wholeFailureOf(error: unknown): Failure {
  if (error instanceof PlatformError) {
    const { code, message, fault } = error;
    const own = error as Partial<Pick<Failure, 'fields' | 'headers'>> & { readonly httpStatus?: number };
    const status = own.httpStatus ?? STATUS_BY_FAULT[fault];
    const headers = own.headers ?? (status === 503 || status === 429 ? RETRY_AFTER : {});
    return { status, code, message, fields: own.fields, headers };
  }
  const { statusCode, message = 'bad request' } = error as FrameworkError;
  if (statusCode === undefined || statusCode >= 500 || statusCode < 400) return INTERNAL;
  return { status: statusCode, code: CODES[statusCode] ?? 'HTTP_BAD_REQUEST', message, headers: {} };
}

/** An error in the words of a protocol. */
export interface ErrorForm {
  readonly contentType: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: object;
}

export type WriteError = (failure: Failure) => ErrorForm;

/** Paths whose errors have a form of their own: `/v2` is for itself and all below it. */
export type ErrorForms = Readonly<Record<string, WriteError>>;

/** @param path - of the request, or its route's pattern */
export function formFor(forms: ErrorForms | undefined, path: string): WriteError | undefined {
  for (const prefix in forms) {
    if (path === prefix || path.startsWith(`${prefix}/`)) return forms[prefix];
  }
  return undefined;
}

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';
const LONGEST_INSTANCE = 200;

/** `GATEWAY_INVALID_EVENT` is "Invalid event". */
export function titleOf(code: string, status: number): string {
  const words = code.split('_').slice(1).join(' ').toLowerCase();
  return words === '' ? (STATUS_CODES[status] ?? 'Error') : words.charAt(0).toUpperCase() + words.slice(1);
}

/**
 * A failure as RFC 9457 has it. `error` repeats code, message and fields where clients from before found them.
 *
 * @param path - of the request, without query
 */
export function problemOf({ status, code, message, fields }: Failure, path: string, requestId: string): object {
  const named = fields === undefined ? {} : { fields };
  return {
    type: `/docs/errors#${code}`,
    title: titleOf(code, status),
    status,
    detail: message,
    instance: path.slice(0, LONGEST_INSTANCE),
    code,
    request_id: requestId,
    ...named,
    error: { code, message, ...named },
  };
}
