import AjvCompiler from '@fastify/ajv-compiler';
import type { FastifyInstance, FastifySchema } from 'fastify';
import type { FastifyRouteSchemaDef } from 'fastify/types/schema.js';
import { parseRfc3339 } from '#kernel/times/rfc3339';
import { RequestSchemaError } from '../../errors.ts';
import { problemsOfSchema, type SchemaMistake } from './schema_problems.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Set where the route reads bodies by a reader of its own. */
    bodyReader?: BodyReader;
  }
}

/**
 * Says which bodies a route's own reader has checked, or will check: for these the schema of the body only describes. `bytes`: all of them; the schema is
 * not compiled. The reader raises errors with `fields`, as this module does.
 */
export type BodyReader = 'bytes' | ((body: unknown) => boolean);

/** Of a list or a map without a limit of its own, so many values are searched for mistakes. */
const MOST_SEARCHED = 1_000;

interface Limits {
  readonly maxItems?: number;
  readonly items?: Limits;
  readonly properties?: Readonly<Record<string, Limits>>;
  readonly anyOf?: readonly Limits[];
}

type Validate = ((value: unknown) => boolean) & { errors?: readonly SchemaMistake[] | null };
type Compile = (route: FastifyRouteSchemaDef<FastifySchema>) => Validate;

/**
 * Checks each part of a request by the JSON Schema of its route, on every route of an application and of its plugins. Nothing in a body is converted to another type,
 * and no field is dropped in silence; what is in a URL or a header is text, and is read as the type that the schema names.
 * The answer to a refused request is that of {@link RequestSchemaError}.
 */
export function validateRequests(app: FastifyInstance): void {
  const compile = requestCompiler();
  app.setValidatorCompiler(compile as never);
  app.addHook('onRoute', (route) => {
    const reader = route.config?.bodyReader;
    if (reader !== undefined && route.validatorCompiler === undefined) {
      route.validatorCompiler = besides(reader, compile) as never;
    }
  });
  app.setSchemaErrorFormatter(
    (mistakes, part) => new RequestSchemaError(part, problemsOfSchema(mistakes as readonly SchemaMistake[], part)),
  );
}

function requestCompiler(): Compile {
  const factory = AjvCompiler();
  const compilersOf = (coerceTypes: false | 'array') => {
    const customOptions = {
      ...{ removeAdditional: false, useDefaults: true, coerceTypes, verbose: true, allowUnionTypes: true },
    } as const;
    const onCreate = (ajv: { addFormat(name: string, format: object): unknown }): void => {
      // The times that the platform reads, and no others.
      ajv.addFormat('date-time', { type: 'string', validate: (text: string) => parseRfc3339(text) !== undefined });
    };
    const compilerOf = (allErrors: boolean): Compile =>
      factory({}, { customOptions: { ...customOptions, allErrors }, onCreate } as never) as never;
    return { first: compilerOf(false), all: compilerOf(true) };
  };
  const exact = compilersOf(false);
  const ofText = compilersOf('array');
  return (route) => {
    const isBody = route.httpPart === 'body';
    const { first, all } = isBody ? exact : ofText;
    const validate = boundedValidator(route.schema as Limits, first(route), () => all(route));
    return isBody ? validate : withDecimals(route.schema as TextSchema, validate);
  };
}

interface TextSchema {
  readonly properties?: Readonly<
    Record<string, { readonly type?: string | readonly string[]; readonly items?: object }>
  >;
}

/** Ajv reads any text as a number that JavaScript takes for one, such as `0x10`, ` 7` and `Infinity`. */
const DECIMAL = /^[+-]?\d+(?:\.\d+)?(?:e[+-]?\d{1,3})?$/i;

/** Refuses text that is no decimal number where the schema names a number, also as an item of a list. */
function withDecimals({ properties = {} }: TextSchema, validate: Validate): Validate {
  const numbers = Object.entries(properties).flatMap(([name, schema]) => {
    const type = numberOf(schema) ?? numberOf(schema.items ?? {});
    return type === undefined ? [] : [{ name, type, schema }];
  });
  if (numbers.length === 0) return validate;
  const decimal: Validate = (value) => {
    const mistakes: SchemaMistake[] = [];
    for (const { name, type, schema } of numbers) {
      const given = (value as Readonly<Record<string, unknown>> | null)?.[name];
      if (given === undefined) continue;
      const data = [given].flat().find((each) => typeof each === 'string' && !DECIMAL.test(each));
      if (data === undefined) continue;
      const at = { instancePath: `/${name}`, schemaPath: `#/properties/${name}/type`, keyword: 'type' };
      mistakes.push({ ...at, params: { type }, data, parentSchema: schema });
    }
    const others = validate(value) ? [] : (validate.errors ?? []);
    const found = [...mistakes, ...others.filter((other) => !mistakes.some((each) => isOfSame(each, other)))];
    if (found.length === 0) return true;
    decimal.errors = found;
    return false;
  };
  return decimal;
}

const isOfSame = (one: SchemaMistake, other: SchemaMistake): boolean =>
  other.instancePath === one.instancePath || other.instancePath.startsWith(`${one.instancePath}/`);

/** Returns the type of a schema that takes numbers and no other text. */
function numberOf({ type }: { readonly type?: string | readonly string[] }): string | undefined {
  const types = [type ?? []].flat() as readonly string[];
  return types.includes('string') ? undefined : types.find((each) => each === 'number' || each === 'integer');
}

const besides =
  (reader: BodyReader, compile: Compile): Compile =>
  (route) => {
    if (route.httpPart !== 'body') return compile(route);
    if (reader === 'bytes') return () => true;
    const validate = compile(route);
    const beside: Validate = (body) => {
      if (reader(body) || validate(body)) return true;
      beside.errors = validate.errors ?? null;
      return false;
    };
    return beside;
  };

/** Stops at the first mistake; only then searches for the others, and no further than lists and maps may be long. */
function boundedValidator(schema: Limits, first: Validate, compileAll: () => Validate): Validate {
  let all: Validate | undefined;
  const validate: Validate = (value) => {
    if (first(value)) return true;
    validate.errors = first.errors ?? null;
    // The request is refused: what is cut from it is not used.
    cut(schema, value);
    all ??= compileAll();
    if (!all(value)) validate.errors = all.errors ?? null;
    return false;
  };
  return validate;
}

/** Leaves one item too many in a list that is too long, so that this is still found, and the first of the names that a map may not be known to have. */
function cut(limits: Limits, value: unknown): void {
  const { maxItems = MOST_SEARCHED, items, properties = {}, anyOf = [] } = limits;
  for (const form of anyOf) cut(form, value);
  if (Array.isArray(value)) {
    // A form that is chosen by its type has the limit.
    if (anyOf.length === 0 && value.length > maxItems) value.length = maxItems + 1;
    if (items !== undefined) for (const item of value) cut(items, item);
  } else if (typeof value === 'object' && value !== null) {
    const fields = value as Record<string, unknown>;
    let others = 0;
    for (const name in fields) {
      const known = properties[name];
      if (known !== undefined) cut(known, fields[name]);
      else if (anyOf.length === 0) {
        others += 1;
        if (others > MOST_SEARCHED) delete fields[name];
      }
    }
  }
}
