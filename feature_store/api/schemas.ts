import { type JsonSchema, problems } from '#monitoring/api_schemas';

// What GET /openapi.json says of the feature API's answers.

const text = { type: 'string' } as const;
const value = { anyOf: [text, { type: 'number' }, { type: 'boolean' }, { type: 'null' }] };
const listOf = (items: JsonSchema) => ({ type: 'array', items });
const mapOf = (values: JsonSchema) => ({ type: 'object', additionalProperties: values });
const object = (properties: Record<string, JsonSchema>, required = Object.keys(properties)) => ({
  ...{ type: 'object', properties, required },
});
const open = { type: 'object', additionalProperties: true };

const cell = object({ value, computed_at: text, age_ms: { type: 'number' } }, ['value', 'computed_at']);
const features = mapOf(cell);

const ALWAYS = [400, 401, 403, 404, 429, 503] as const;
/** An id of several entities. */
const AMBIGUOUS = [409] as const;
const WITH_BODY = [...ALWAYS, 413, 415] as const;
const HEADERS = {
  type: 'object',
  properties: { 'x-request-id': { ...text, description: 'Comes back; one is made where it is left out' } },
};

/** The answer, which is described only: it is written without the schema. */
const described = (schema: JsonSchema): JsonSchema => ({
  200: { description: 'The answer', content: { 'application/json': { schema } } },
});
const get = (schema: JsonSchema, also: readonly number[] = []) => ({
  headers: HEADERS,
  response: { ...described(schema), ...problems([...ALWAYS, ...also]) },
});
const post = (schema: JsonSchema, also: readonly number[] = []) => ({
  headers: HEADERS,
  response: { ...described(schema), ...problems([...WITH_BODY, ...also]) },
});

const entity = object({ user_id: text, entity: text, features });
const counter = object({ user_id: text, entity: text, counter: text, value: { type: 'number' } });
const lineage = object({ lineage: listOf(open) });

export const answers = {
  entity: get(entity, AMBIGUOUS),
  feature: get(
    object(
      { user_id: text, entity: text, feature: text, value, computed_at: text, view: text, age_ms: { type: 'number' } },
      ['user_id', 'entity', 'feature', 'value'],
    ),
    AMBIGUOUS,
  ),
  batch: post(
    object({
      results: listOf(
        object({
          user_id: text,
          entity: { anyOf: [text, { type: 'null' }] },
          features: { anyOf: [features, { type: 'null' }] },
        }),
      ),
    }),
    AMBIGUOUS,
  ),
  lineage: get(lineage),
  features: get(object({ features: listOf(open) })),
  views: get(object({ views: listOf(open) })),
  readCounter: get(counter, AMBIGUOUS),
  addToCounter: post(counter, AMBIGUOUS),
  services: get(object({ services: listOf(open) })),
  vectors: post(
    object({
      service: text,
      entity: text,
      fingerprint: text,
      vectors: listOf(object({ entity: text, features: { anyOf: [mapOf(value), { type: 'null' }] } })),
    }),
    [422],
  ),
  statistics: get(object({ statistics: listOf(open) })),
};
