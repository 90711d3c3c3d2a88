import { z } from 'zod';
import { type ServiceColumn, servicesById } from '#feature_store/definitions/feature_service';
import { modelInputsOf } from '#feature_store/definitions/model_inputs';
import type { EventSource } from '#feature_store/definitions/sources/source';
import { viewId } from '#feature_store/definitions/values/feature_row';
import { typeOf, type ValueType } from '#feature_store/definitions/values/value_type';
import type { ProjectDefinitions } from '../project/project.ts';

interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly additionalProperties?: JsonSchema | boolean;
}

const quoted = (name: string): string => JSON.stringify(name);
const objectOf = (fields: readonly string[]): string => (fields.length === 0 ? '{}' : `{ ${fields.join('; ')} }`);

/** Returns the type of a feature's value as JSON carries it: int64, decimals, timestamps and bytes (base64) as strings. */
export function wireType(type: ValueType): string {
  switch (type.kind) {
    case 'double':
    case 'long':
      return 'number';
    case 'boolean':
      return 'boolean';
    case 'embedding':
      return 'readonly number[]';
    case 'array':
      return `readonly (${wireType(type.element)} | null)[]`;
    case 'struct':
      return objectOf(type.fields.map(({ name, type: of }) => `readonly ${quoted(name)}: ${wireType(of)} | null`));
    default:
      return 'string';
  }
}

/** Returns the type of what a JSON schema takes. */
export function schemaType(schema: JsonSchema): string {
  const { type, properties, required = [], items, additionalProperties } = schema;
  if ('const' in schema) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  const some = schema.anyOf ?? schema.oneOf;
  if (some !== undefined) return some.map((each) => `(${schemaType(each)})`).join(' | ');
  if (schema.allOf !== undefined) return schema.allOf.map((each) => `(${schemaType(each)})`).join(' & ');
  if (Array.isArray(type)) return type.map((each: string) => schemaType({ ...schema, type: each })).join(' | ');
  if (type === 'integer' || type === 'number') return 'number';
  if (type === 'string' || type === 'boolean' || type === 'null') return type;
  if (type === 'array') return `readonly (${schemaType(items ?? {})})[]`;
  if (type !== 'object') return 'unknown';
  const isMap = properties === undefined && typeof additionalProperties === 'object';
  if (isMap) return `Readonly<Record<string, ${schemaType(additionalProperties)}>>`;
  return objectOf(
    Object.entries(properties ?? {}).map(
      ([name, of]) => `readonly ${quoted(name)}${required.includes(name) ? '' : '?'}: ${schemaType(of)}`,
    ),
  );
}

/** Returns what a source takes, without the fields that the client adds. */
function eventType(source: EventSource): string {
  const {
    properties = {},
    required = [],
    ...schema
  } = z.toJSONSchema(source.schema, {
    ...{ io: 'input', unrepresentable: 'any' },
  }) as JsonSchema;
  const { event_type: _, ...fields } = properties;
  const added = new Set(source.idFields === undefined ? [source.eventIdField] : []);
  return schemaType({ ...schema, properties: fields, required: required.filter((name) => !added.has(name)) });
}

const listed = (entries: readonly (readonly [name: string, type: string])[]): string =>
  entries.length === 0 ? '{}' : `{\n${entries.map(([name, type]) => `    ${quoted(name)}: ${type};\n`).join('')}  }`;

const columnsType = (columns: readonly Pick<ServiceColumn, 'name' | 'type'>[]): string =>
  objectOf(columns.map(({ name, type }) => `readonly ${quoted(name)}: ${wireType(typeOf(type))} | null`));

/** Returns the part of a generated client that is about the project: its definitions as types, and what the client has to know of them when it runs. */
export function clientDefinitions({ catalog, models }: Pick<ProjectDefinitions, 'catalog' | 'models'>): string {
  const { views, sources } = catalog;
  const services = [...servicesById(catalog).values()];
  const featuresOf = (view: (typeof views)[number]) =>
    Object.entries(view.features as Record<string, { type: string }>);
  const embeddings = views.flatMap((view) => {
    const names = featuresOf(view).filter(([, { type }]) => type.startsWith('embedding('));
    return names.length === 0 ? [] : [[viewId(view), names.map(([name]) => quoted(name)).join(' | ')] as const];
  });
  const pushed = views
    .filter(({ mode }) => mode === 'push')
    .map((view) => [viewId(view), eventType(view.sources[0])] as const);
  const inputsOf = (service: string): string => {
    const columns = services.find(({ signature }) => signature.service === service)?.columns ?? [];
    const inputs = modelInputsOf(columns).map(({ name, type }) => {
      const of = type === 'string' || type === 'boolean' ? type : 'number';
      return `readonly ${quoted(name)}: ${of} | null`;
    });
    return objectOf(inputs);
  };
  const types = {
    views: views.map((view) => {
      const columns = featuresOf(view).map(([name, { type }]) => ({ name, type }));
      return [viewId(view), columnsType(columns as never)] as const;
    }),
    embeddings,
    pushed,
    services: services.map(({ signature, columns }) => {
      const request = objectOf(
        signature.request.map(({ name, type }) => `readonly ${quoted(name)}: ${wireType(typeOf(type))}`),
      );
      return [
        signature.service,
        `{ readonly columns: ${columnsType(columns)}; readonly request: ${request} }`,
      ] as const;
    }),
    models: models.map(({ name, service }) => [name, inputsOf(service)] as const),
    events: sources.flatMap((source) => source.eventTypes.map((type) => [type, eventType(source)] as const)),
  };
  const facts = {
    entities: Object.fromEntries(views.map((view) => [viewId(view), view.entity.name])),
    eventIds: Object.fromEntries(
      sources
        .filter(({ idFields }) => idFields === undefined)
        .flatMap(({ eventTypes, eventIdField }) => eventTypes.map((type) => [type, eventIdField])),
    ),
  };
  return `/** What the project defines. Values have the form that JSON carries: int64, decimals, timestamps and bytes (base64) are strings. */
export type Definitions = {
${Object.entries(types)
  .map(([name, entries]) => `  ${name}: ${listed(entries)};`)
  .join('\n')}
};

const FACTS: ClientFacts = ${JSON.stringify(facts, null, 2)};

/** Creates a client of the project. It opens nothing until a request is sent. */
export const createClient = (options: ClientOptions = {}): TypedClient<Definitions> => new TypedClient(FACTS, options);
`;
}
