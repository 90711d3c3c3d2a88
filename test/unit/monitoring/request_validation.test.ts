import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { controlAccess } from '#connectors/http/access';
import { accessConfigSchema } from '#connectors/http/config';
import { plainIssues, problemsOfIssues } from '#kernel/field_problems';
import { createHttpApp } from '#monitoring/http/http_app';
import { HttpService } from '#monitoring/http/http_service';
import { open } from '#monitoring/http/routes/route_access';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';

const item = z.strictObject({
  name: z.string().min(1),
  count: z.number().min(0).max(9).optional(),
  kind: z.enum(['a', 'b']).optional(),
  tags: z.array(z.string()).max(2).optional(),
  label: z.union([z.string(), z.number()]).optional(),
});
const { $schema: _, ...itemSchema } = z.toJSONSchema(item, { target: 'draft-7' });
const object = (properties: object, required: readonly string[] = []) => ({
  ...{ type: 'object', properties, required, additionalProperties: false },
});

let app: FastifyInstance;
beforeAll(async () => {
  app = createHttpApp(undefined);
  await controlAccess(app, accessConfigSchema.parse({}), silentLogger);
  const deps = { log: silentLogger, metrics: createMetricsRegistry({ process: false }) };
  new HttpService(deps, { name: 'test', host: '127.0.0.1', port: 0, portSetting: 'PORT' }, app);
  const config = { access: open() };
  const echo = async ({ body, query, params }: { body: unknown; query: unknown; params: unknown }) => ({
    ...{ body, query, params },
  });
  app.post('/items/:version', {
    config,
    schema: {
      params: object({ version: { type: 'integer', minimum: 1 } }),
      querystring: object({ at: { type: 'string', format: 'date-time' }, limit: { type: 'integer', default: 5 } }),
      headers: { type: 'object', properties: { 'x-wait': { type: 'number', exclusiveMinimum: 0 } } },
      body: itemSchema,
    },
    handler: echo,
  });
  const many = object({ items: { type: 'array', items: itemSchema, minItems: 1 } }, ['items']);
  app.post('/either', { config, schema: { body: { anyOf: [itemSchema, many] } }, handler: echo });
  app.post('/read', {
    config: { ...config, bodyReader: (body: unknown) => (body as { isRead?: boolean }).isRead === true },
    schema: { body: itemSchema },
    handler: echo,
  });
});
afterAll(() => app.close());

const post = async (url: string, body: unknown, headers: Readonly<Record<string, string>> = {}) => {
  const answer = await app.inject({
    ...{
      method: 'POST',
      url,
      payload: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    },
  });
  return answer.json();
};
const problemsIn = async (url: string, body: unknown, headers?: Readonly<Record<string, string>>) => {
  const { code, fields } = await post(url, body, headers);
  return [code, ...(fields ?? []).map(({ field, problem }: Record<string, string>) => `${field} ${problem}`).sort()];
};
const KNOWN = 'known: name, count, kind, tags, label';

test.each<[what: string, url: string, body: unknown, ...problems: string[]]>([
  ['no object', '/items/1', [], ' must be an object, not an array'],
  ['no body', '/items/1', null, ' must be an object, not null'],
  ['a type', '/items/1', { name: 1, tags: 'x' }, 'name must be a string, not 1', 'tags must be an array, not a string'],
  ['a missing field', '/items/1', {}, 'name is required'],
  ['an unknown field', '/items/1', { name: 'x', 'a/b~c': 1 }, `a/b~c is not a known field; ${KNOWN}`],
  ['a choice', '/items/1', { name: 'x', kind: 'c' }, 'kind must be one of a, b'],
  ['bounds', '/items/1', { name: '', count: 10 }, 'count must be at most 9', 'name must have at least 1 character'],
  ['a long list', '/items/1', { name: 'x', tags: ['1', '2', '3'] }, 'tags must have at most 2 items'],
  ['an item', '/items/1', { name: 'x', tags: ['1', {}] }, 'tags.1 must be a string, not an object'],
  ['types to choose from', '/items/1', { name: 'x', label: true }, 'label must be a string or a number, not true'],
  ['a path', '/items/none', { name: 'x' }, 'path.version must be an integer, not "none"'],
  ['a query', '/items/1?limit=x', { name: 'x' }, 'query.limit must be an integer, not "x"'],
  [
    'a time without a zone',
    '/items/1?at=2026-11-28',
    { name: 'x' },
    'query.at must be a time such as 2026-11-28T12:00:00Z',
  ],
  ['an unknown parameter', '/items/1?x=1', { name: 'x' }, 'query.x is not a known field; known: at, limit'],
  ['the nearest form', '/either', { items: [{ name: 'x' }, { name: 1 }] }, 'items.1.name must be a string, not 1'],
  ['the other form', '/either', { name: 1 }, 'name must be a string, not 1'],
  ['no form', '/either', 'x', ' must be an object, not a string'],
])('%s is named: %s', async (_what, url, body, ...problems) => {
  expect(await problemsIn(url, body)).toEqual(['HTTP_INVALID_REQUEST', ...problems]);
});

test('a header is named', async () => {
  const refused = await problemsIn('/items/1', { name: 'x' }, { 'x-wait': '0' });
  expect(refused).toEqual(['HTTP_INVALID_REQUEST', 'headers.x-wait must be more than 0']);
});

test('text of a URL is read as its type, bodies are taken as they are', async () => {
  const body = { name: 'x', label: '1' };
  expect(await post('/items/7?limit=3', body)).toEqual({ body, query: { limit: 3 }, params: { version: 7 } });
  expect((await post('/items/7', body)).query).toEqual({ limit: 5 });
});

test('a number in text is decimal: what JavaScript takes for one besides is refused by name', async () => {
  const body = { name: 'x' };
  const others = [
    '0x10',
    '0b1',
    '0o7',
    'Infinity',
    '-Infinity',
    'NaN',
    ' 7',
    '7 ',
    '1_000',
    '７',
    '.5',
    '5.',
    '1e',
    '',
  ];
  for (const text of others) {
    const problem = `query.limit must be an integer, not ${JSON.stringify(text)}`;
    expect(await problemsIn(`/items/1?limit=${encodeURIComponent(text)}`, body)).toEqual([
      'HTTP_INVALID_REQUEST',
      problem,
    ]);
  }
  for (const text of ['0x10', 'Infinity', '1_000']) {
    const header = await problemsIn('/items/1', body, { 'x-wait': text });
    expect(header).toEqual(['HTTP_INVALID_REQUEST', `headers.x-wait must be a number, not "${text}"`]);
    const path = await problemsIn(`/items/${text}`, body);
    expect(path).toEqual(['HTTP_INVALID_REQUEST', `path.version must be an integer, not "${text}"`]);
  }
  expect(await problemsIn('/items/1?limit=0x10&x=1', body)).toHaveLength(3);
  for (const [text, limit] of [
    ['12', 12],
    ['+5', 5],
    ['1e3', 1_000],
    ['007', 7],
  ] as const)
    expect((await post(`/items/1?limit=${encodeURIComponent(text)}`, body)).query).toEqual({ limit });
});

test('what a reader has checked is not checked again; the rest is', async () => {
  expect(await post('/read', { isRead: true })).toMatchObject({ body: { isRead: true } });
  expect(await problemsIn('/read', { name: 1 })).toEqual(['HTTP_INVALID_REQUEST', 'name must be a string, not 1']);
});

test('JSON Schema and zod name the same fields, in the same words', async () => {
  const value = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(fc.string()),
    fc.constantFrom({}, { a: 1 }),
  );
  const body = fc.record(
    { name: value, count: value, kind: value, tags: value, label: value, other: value },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(body, async (sent) => {
      const parsed = item.safeParse(JSON.parse(JSON.stringify(sent)), { error: plainIssues });
      const problems = parsed.success ? [] : problemsOfIssues(parsed.error.issues);
      const [code, ...named] = await problemsIn('/items/1', sent);
      expect(code).toBe(problems.length === 0 ? undefined : 'HTTP_INVALID_REQUEST');
      // Ajv knows the names that there are.
      expect(named.map((each) => each.replace(/; known: .*/, ''))).toEqual(
        problems.map(({ field, problem }) => `${field} ${problem}`).sort(),
      );
    }),
    { numRuns: 200 },
  );
});
