import AjvCompiler from '@fastify/ajv-compiler';
import type { FastifyInstance, FastifySchema } from 'fastify';
import type { FastifyRouteSchemaDef, FastifySchemaValidationError } from 'fastify/types/schema.js';
import { listed } from '#kernel/problem_list';

/** Of a list without a limit of its own, so many items are searched for mistakes. */
const MOST_SEARCHED = 1_000;

interface ListLimits {
  readonly maxItems?: number;
  readonly items?: ListLimits;
  readonly properties?: Readonly<Record<string, ListLimits>>;
}

type Validate = ((value: unknown) => boolean) & { errors?: readonly FastifySchemaValidationError[] | null };

/**
 * Lets bodies in only as their schemas have them: nothing is converted to another type, no field is dropped in silence. What is in a URL is text,
 * and is read as the type that the schema names. A refusal names the first 20 mistakes, and counts the others that were found.
 */
export function acceptExactlyWhatSchemasSay(app: FastifyInstance): void {
  const factory = AjvCompiler();
  const compilersOf = (coerceTypes: false | 'array') => {
    const shared = { removeAdditional: false, useDefaults: true, coerceTypes } as const;
    return {
      first: factory({}, { customOptions: { ...shared, allErrors: false } }),
      all: factory({}, { customOptions: { ...shared, allErrors: true } }),
    };
  };
  const exact = compilersOf(false);
  const ofText = compilersOf('array');
  app.setValidatorCompiler((route: FastifyRouteSchemaDef<FastifySchema>) => {
    const compilers = route.httpPart === 'body' ? exact : ofText;
    const first = compilers.first(route as never) as unknown as Validate;
    const all = compilers.all(route as never) as unknown as Validate;
    return boundedValidator(route.schema as ListLimits, first, all) as never;
  });
  app.setSchemaErrorFormatter((errors, part) => {
    const problems = errors.map(({ instancePath, message }) => `${part}${instancePath} ${message}`);
    return new Error(listed(problems, { longest: 500 }));
  });
}

/** The same for query parameters alone: for applications whose routes check their bodies themselves. */
export function acceptQueriesAsSchemasSay(app: FastifyInstance): void {
  const factory = AjvCompiler();
  const ofText = factory({}, { customOptions: { removeAdditional: false, coerceTypes: 'array', allErrors: true } });
  app.setValidatorCompiler((route: FastifyRouteSchemaDef<FastifySchema>) =>
    route.httpPart === 'querystring' ? (ofText(route as never) as never) : () => true,
  );
}

/** Stops at the first mistake; only then searches for the others, and no further than lists may be long. */
function boundedValidator(schema: ListLimits, first: Validate, all: Validate): Validate {
  const validate: Validate = (value) => {
    if (first(value)) return true;
    validate.errors = first.errors ?? null;
    // The request is refused: what is cut from it is not used.
    cutLists(schema, value);
    if (!all(value)) validate.errors = all.errors ?? null;
    return false;
  };
  return validate;
}

/** Leaves one item too many in a list that is too long, so that this is still found. */
function cutLists({ maxItems = MOST_SEARCHED, items, properties }: ListLimits, value: unknown): void {
  if (Array.isArray(value)) {
    if (value.length > maxItems) value.length = maxItems + 1;
    if (items !== undefined) for (const item of value) cutLists(items, item);
  } else if (typeof value === 'object' && value !== null) {
    for (const name in properties) {
      cutLists(properties[name] as ListLimits, (value as Readonly<Record<string, unknown>>)[name]);
    }
  }
}
