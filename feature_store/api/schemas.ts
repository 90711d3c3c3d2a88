import { HEADERS, type JsonSchema, problems, REQUEST_HEADERS } from '#monitoring/http/routes/api_schemas';

// What GET /openapi.json says of the feature API's answers.

const text = { type: 'string' } as const;
const listOf = (items: JsonSchema) => ({ type: 'array', items });
const mapOf = (values: JsonSchema) => ({ type: 'object', additionalProperties: values });
const object = (properties: Record<string, JsonSchema>, required = Object.keys(properties)) => ({
  ...{ type: 'object', properties, required },
});
/** By the feature's type: int64, decimals, timestamps and bytes (base64) are strings, embeddings and arrays are lists. */
const value = {
  anyOf: [
    ...[text, { type: 'number' }, { type: 'boolean' }, { type: 'null' }],
    ...[
      { type: 'array', items: {} },
      { type: 'object', additionalProperties: true },
    ],
  ],
};
const open = { type: 'object', additionalProperties: true };

const cell = object({ value, computed_at: text, age_ms: { type: 'number' } }, ['value', 'computed_at']);
const features = mapOf(cell);
const orNull = (schema: JsonSchema): JsonSchema => ({ anyOf: [schema, { type: 'null' }] });
/** Rows of one view, in the order of the entities. */
const columns = object(
  {
    ...{ view: text, entity: text, features: listOf(text), computed_at: listOf(orNull(text)) },
    ...{ age_ms: listOf(orNull({ type: 'number' })), values: listOf(orNull(listOf(value))) },
  },
  ['view', 'entity', 'features', 'computed_at', 'values'],
);

const ALWAYS = [400, 401, 403, 404, 405, 429, 503] as const;
/** An id of several entities. */
const AMBIGUOUS = [409] as const;
const WITH_BODY = [...ALWAYS, 413, 415] as const;

/** The answer, which is described only: it is written without the schema. */
const described = (schema: JsonSchema, example: unknown): JsonSchema => ({
  200: { description: 'The answer', headers: HEADERS, content: { 'application/json': { schema, example } } },
});
const get = (schema: JsonSchema, example: unknown, also: readonly number[] = []) => ({
  headers: REQUEST_HEADERS,
  response: { ...described(schema, example), ...problems([...ALWAYS, ...also]) },
});
const post = (schema: JsonSchema, example: unknown, also: readonly number[] = []) => ({
  headers: REQUEST_HEADERS,
  response: { ...described(schema, example), ...problems([...WITH_BODY, ...also]) },
});

const entity = object({ user_id: text, entity: text, features });
const counter = object({ user_id: text, entity: text, counter: text, value: { type: 'number' } });
const lineage = object({ feature: text, lineage: listOf(open) }, ['lineage']);

/** What parameters of paths are, for example. */
export const PARAMETERS = {
  entity: { ...text, minLength: 1, examples: ['u-1'] },
  feature: { ...text, minLength: 1, examples: ['count_1h'] },
  counter: { ...text, pattern: '^[a-z][a-z0-9_]*$', examples: ['attempts'] },
} as const;

/** The parameters of a path. */
export const paramsOf = (...names: readonly (keyof typeof PARAMETERS)[]) => ({
  type: 'object',
  properties: Object.fromEntries(names.map((name) => [name, PARAMETERS[name]])),
  required: [...names],
});

// Held against the schemas by test/unit/cli/openapi.test.ts.
const shownFeatures = { count_1h: { value: 3, computed_at: '2026-11-28T12:00:00.000Z' } };
const shownEntity = { user_id: 'u-1', entity: 'account', features: shownFeatures };
const shownCounter = { user_id: 'u-1', entity: 'account', counter: 'attempts', value: 4 };
const shownLineage = {
  ...{ feature: 'count_1h', view: 'fraud@1', entity: 'account', features: [], fields: ['*'] },
  ...{ source: 'transactions', eventTypes: ['transaction'] },
};
const shownDefinition = { name: 'count_1h', type: 'long', description: 'Transactions in an hour', kind: 'window' };

export const answers = {
  entity: get(entity, shownEntity, AMBIGUOUS),
  feature: get(
    object(
      { user_id: text, entity: text, feature: text, value, computed_at: text, view: text, age_ms: { type: 'number' } },
      ['user_id', 'entity', 'feature', 'value'],
    ),
    { user_id: 'u-1', entity: 'account', feature: 'count_1h', ...shownFeatures.count_1h, view: 'fraud@1' },
    AMBIGUOUS,
  ),
  batch: post(
    {
      anyOf: [
        object({
          results: listOf(
            object({
              user_id: text,
              entity: { anyOf: [text, { type: 'null' }] },
              features: { anyOf: [features, { type: 'null' }] },
            }),
          ),
        }),
        object({ entities: listOf(text), views: listOf(columns) }),
      ],
    },
    { results: [shownEntity, { user_id: 'u-2', entity: null, features: null }] },
    AMBIGUOUS,
  ),
  lineageOfOne: get(lineage, { feature: 'count_1h', lineage: [shownLineage] }),
  lineage: get(lineage, { lineage: [shownLineage] }),
  features: get(object({ features: listOf(open) }), {
    features: [{ ...shownDefinition, view: 'fraud@1', entity: 'account', owner: 'risk' }],
  }),
  views: get(object({ views: listOf(open) }), {
    views: [{ id: 'fraud@1', view: 'fraud', version: 1, entity: 'account', features: [shownDefinition] }],
  }),
  readCounter: get(counter, shownCounter, AMBIGUOUS),
  addToCounter: post(counter, shownCounter, AMBIGUOUS),
  services: get(object({ services: listOf(open) }), {
    services: [{ service: 'fraud@1', entity: 'account', owner: 'risk', unknown_entities: 'null' }],
  }),
  push: post(
    object({
      view: text,
      written: { type: 'integer' },
      refused: listOf(object({ row: { type: 'integer' }, problems: listOf(object({ field: text, problem: text })) })),
    }),
    {
      view: 'risk@1',
      written: 1,
      refused: [{ row: 1, problems: [{ field: 'score', problem: 'must be a number, not a string' }] }],
    },
  ),
  vectors: post(
    object({
      service: text,
      entity: text,
      fingerprint: text,
      vectors: listOf(object({ entity: text, features: { anyOf: [mapOf(value), { type: 'null' }] } })),
    }),
    {
      ...{ service: 'fraud@1', entity: 'account', fingerprint: '9f2c41d07a6b8e35' },
      vectors: [{ entity: 'u-1', features: { count_1h: 3 } }],
    },
    [422],
  ),
  historical: post(
    object({
      ...{ service: text, entity: text, fingerprint: text },
      columns: listOf(object({ name: text, type: text, values: listOf(value) })),
    }),
    {
      ...{ service: 'fraud@1', entity: 'account', fingerprint: '9f2c41d07a6b8e35' },
      columns: [{ name: 'count_1h', type: 'long', values: [3] }],
    },
    [422],
  ),
  search: post(
    object({
      ...{ view: text, feature: text, metric: text, entity: text },
      results: listOf(object({ entity: text, distance: { type: 'number' }, event_time: text, computed_at: text })),
    }),
    {
      ...{ view: 'profile@1', feature: 'taste', metric: 'cosine', entity: 'user' },
      results: [
        {
          ...{ entity: 'u-2', distance: 0.12 },
          ...{ event_time: '2026-11-28T12:00:00.000Z', computed_at: '2026-11-28T12:00:00.010Z' },
        },
      ],
    },
    [422],
  ),
  why: get(
    object(
      {
        ...{ user_id: text, entity: text, view: text, feature: text, at: text, equal: { type: ['boolean', 'null'] } },
        ...{ definition: open, served: orNull(open), recomputed: orNull(open), difference: orNull(text) },
        ...{ formula: open, window: orNull(open), events: open, uncounted: open, refused: listOf(open) },
        ...{ places: listOf(open), used_by: open },
      },
      ['user_id', 'entity', 'view', 'feature', 'at', 'equal', 'formula', 'events'],
    ),
    {
      ...{ user_id: 'u-1', entity: 'account', view: 'fraud@1', feature: 'count_1h', at: '2026-11-28T12:00:05.000Z' },
      definition: { version: 1, fingerprint: '9f2c41d07a6b8e35' },
      served: {
        ...{ value: 1, event_time: '2026-11-28T12:00:00.000Z', computed_at: '2026-11-28T12:00:00.020Z' },
        from: 'online store',
      },
      recomputed: { value: 1, event_time: '2026-11-28T12:00:00.000Z' },
      ...{ equal: true, difference: null },
      formula: { name: 'count_1h', kind: 'window', formula: 'count(*) over 1h', value: 1, inputs: [] },
      window: {
        ...{ from: '2026-11-28T11:00:00.000Z', until: '2026-11-28T12:00:00.000Z', step_ms: 60_000, passed_over: 0 },
        tiles: [{ start: '2026-11-28T12:00:00.000Z', length_ms: 60_000, events: 1, value: 1 }],
      },
      events: {
        ...{ total: 1, offset: 0 },
        items: [
          {
            ...{ event_id: 'e-1', time: '2026-11-28T12:00:00.000Z', arrived_at: '2026-11-28T12:00:00.010Z' },
            ...{ from: 'archive', place: '0/17', contribution: true, trace: null },
          },
        ],
      },
      ...{ uncounted: { total: 0, items: [] }, refused: [], refused_row: null },
      places: [{ from: 'archive', events: 1, gaps: [] }],
      used_by: { models: [{ name: 'fraud_detector', version: 3, stage: 'Production' }], predictions: [] },
    },
    AMBIGUOUS,
  ),
  statistics: get(object({ statistics: listOf(open) }), {
    statistics: [
      {
        ...{ view: 'fraud@1', feature: 'count_1h', window_start: '2026-11-28T12:00:00.000Z', window_ms: 300_000 },
        ...{ null_share: 0, rows: 120, nulls: 0 },
      },
    ],
  }),
};
