import { titleOf } from '../error_answer.ts';

// Parts that the OpenAPI documents of all listeners have in common.

export type JsonSchema = Readonly<Record<string, unknown>>;

const text = { type: 'string' } as const;
const fields = {
  type: 'array',
  items: {
    type: 'object',
    required: ['field', 'problem'],
    properties: { field: { ...text, description: 'Dotted path; empty: the whole' }, problem: text },
  },
} as const;

/** An error of the platform's own routes: RFC 9457. */
const PROBLEM = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'instance', 'code', 'request_id', 'error'],
  properties: {
    type: { ...text, description: 'Where the code is explained: /docs/errors#CODE' },
    title: text,
    status: { type: 'integer' },
    detail: { ...text, description: 'What is wrong with which value, and what to do' },
    instance: { ...text, description: 'Path of the request' },
    code: { ...text, description: 'Stable; docs/errors.md lists them' },
    request_id: text,
    fields,
    error: {
      type: 'object',
      description: 'The same, where clients from before RFC 9457 look for it',
      required: ['code', 'message'],
      properties: { code: text, message: text, fields },
    },
  },
} as const;

/** An error of each status, for example. */
const SHOWN: Readonly<Record<number, readonly [code: string, detail: string]>> = {
  400: ['KERNEL_INVALID_JSON', 'the body was refused: a: is there more than once: send each key once'],
  401: ['HTTP_UNAUTHORIZED', 'send a valid API key in the x-api-key header'],
  403: ['HTTP_FORBIDDEN', 'the key has none of the scopes that this needs: predict:fraud_detector'],
  404: ['HTTP_NOT_FOUND', 'there is no route GET /path'],
  405: ['HTTP_METHOD_NOT_ALLOWED', 'DELETE /path is not possible: GET, HEAD, OPTIONS are'],
  409: ['GATEWAY_EVENT_ID_CONFLICT', 'event e-1 of user u-1 was accepted before with other content'],
  413: ['HTTP_BODY_TOO_LARGE', 'Request body is too large'],
  415: ['HTTP_UNSUPPORTED_MEDIA_TYPE', 'application/xml is not read here: send application/json (UTF-8)'],
  422: ['SERVING_INVALID_FEATURES', 'the features were refused: amount: must be a number'],
  429: ['HTTP_RATE_LIMITED', 'more than 100 requests in 1000 ms: try again later'],
  503: ['SERVING_OVERLOADED', 'too many rows are waiting: try again later'],
  504: ['SERVING_DEADLINE_PASSED', 'the answer would come later than x-request-timeout-ms allows'],
};
const SHOWN_FIELDS: Readonly<Record<number, object>> = {
  400: { fields: [{ field: 'a', problem: 'is there more than once: send each key once' }] },
  422: { fields: [{ field: 'amount', problem: 'must be a number' }] },
};

function problemExample(status: number): object {
  const [code, detail] = SHOWN[status] as readonly [string, string];
  const named = SHOWN_FIELDS[status] ?? {};
  return {
    type: `/docs/errors#${code}`,
    title: titleOf(code, status),
    status,
    detail,
    instance: '/path',
    code,
    request_id: '5f0c2a8e-3a55-4b8c-8e0e-1d4c1d4c1d4c',
    ...named,
    error: { code, message: detail, ...named },
  };
}

const WHY: Readonly<Record<number, string>> = {
  400: 'The request is not understood; every bad field is named',
  401: 'No key or token, where one is required, or one that is not valid',
  403: 'The key or token may not do this',
  404: 'What the path names is not known',
  405: 'The path does not have this method; Allow names those it has',
  409: 'It conflicts with what is there',
  413: 'The body is too large',
  415: 'Not a media type or charset that is read here',
  422: 'Values that cannot be taken; every bad one is named',
  429: 'Too many requests of this caller; Retry-After tells when to try again',
  503: 'Not available at the moment: try again after Retry-After',
  504: 'The answer would come later than x-request-timeout-ms allows',
};

/** Headers of every answer. */
export const HEADERS = { 'x-request-id': { ...text, description: 'The caller’s own id, or the one it was given' } };

/** Headers of every request. */
export const REQUEST_HEADERS = {
  type: 'object',
  properties: {
    'x-request-id': {
      ...text,
      description: 'Comes back, and is in logs and traces; one is made where it is left out or has other characters',
      examples: ['order-1'],
    },
  },
} as const;

/** Responses with errors as application/problem+json. @param why - descriptions that say more than the usual ones */
export const problems = (codes: readonly number[], why: Readonly<Record<number, string>> = {}): JsonSchema =>
  Object.fromEntries(
    codes.map((code) => [
      code,
      {
        description: why[code] ?? WHY[code],
        headers: HEADERS,
        content: { 'application/problem+json': { schema: PROBLEM, example: problemExample(code) } },
      },
    ]),
  );

/** Responses with errors in the form of another protocol. */
export const foreignErrors = (codes: readonly number[], schema: JsonSchema, example: unknown): JsonSchema =>
  Object.fromEntries(
    codes.map((code) => [
      code,
      { description: WHY[code], headers: HEADERS, content: { 'application/json': { schema, example } } },
    ]),
  );

export const SECURITY_SCHEMES = {
  apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key', description: 'Where API keys are configured' },
  bearer: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'Where an issuer of tokens is configured',
  },
} as const;
