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

const EXAMPLE = {
  type: '/docs/errors#KERNEL_INVALID_JSON',
  title: 'Invalid json',
  status: 400,
  detail: 'the body was refused: a: is there more than once: send each key once',
  instance: '/path',
  code: 'KERNEL_INVALID_JSON',
  request_id: '5f0c2a8e-3a55-4b8c-8e0e-1d4c1d4c1d4c',
  fields: [{ field: 'a', problem: 'is there more than once: send each key once' }],
  error: {
    code: 'KERNEL_INVALID_JSON',
    message: 'the body was refused: a: is there more than once: send each key once',
  },
};

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

const HEADERS = { 'x-request-id': { ...text, description: 'The caller’s own id, or the one it was given' } };

/** Responses with errors as application/problem+json. @param why - descriptions that say more than the usual ones */
export const problems = (codes: readonly number[], why: Readonly<Record<number, string>> = {}): JsonSchema =>
  Object.fromEntries(
    codes.map((code) => [
      code,
      {
        description: why[code] ?? WHY[code],
        headers: HEADERS,
        content: { 'application/problem+json': { schema: PROBLEM, example: EXAMPLE } },
      },
    ]),
  );

/** Responses with errors in the form of another protocol. */
export const foreignErrors = (codes: readonly number[], schema: JsonSchema): JsonSchema =>
  Object.fromEntries(
    codes.map((code) => [
      code,
      { description: WHY[code], headers: HEADERS, content: { 'application/json': { schema } } },
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
