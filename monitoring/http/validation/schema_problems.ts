import type { FastifySchemaValidationError } from 'fastify/types/schema.js';
import {
  type FieldProblem,
  notOneOf,
  tooFew,
  tooLarge,
  tooMany,
  tooSmall,
  UNKNOWN_FIELD,
  wrongFormat,
  wrongType,
} from '#kernel/field_problems';
import { listed, shown } from '#kernel/problem_list';

/** A mistake as Ajv reports it, with what it was found in. */
export interface SchemaMistake extends FastifySchemaValidationError {
  readonly schemaPath: string;
  /** The value, and the schema that refuses it. */
  readonly data?: unknown;
  readonly parentSchema?: Readonly<Record<string, unknown>>;
}

/** What the fields of each part are called. */
const PARTS: Readonly<Record<string, string>> = { querystring: 'query', params: 'path', headers: 'headers' };

/** Returns what is wrong with the fields of a part of a request: `body`, `querystring`, `params` or `headers`. */
export function problemsOfSchema(mistakes: readonly SchemaMistake[], part: string): FieldProblem[] {
  const prefix = PARTS[part];
  return withoutTypesOfChoices(nearestForms(mistakes)).map((mistake) => ({
    field: [...(prefix === undefined ? [] : [prefix]), ...pathOf(mistake)].join('.'),
    problem: problemOf(mistake, prefix !== undefined),
  }));
}

/** The value's path, and with it the name of a field that is missing or not known. */
function pathOf({ instancePath, params }: SchemaMistake): readonly string[] {
  const path = instancePath
    .split('/')
    .slice(1)
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'));
  const { missingProperty, additionalProperty } = params as Readonly<Record<string, string | undefined>>;
  const name = missingProperty ?? additionalProperty;
  return name === undefined ? path : [...path, name];
}

/** @param isText - everything in this part is text: what was sent says more than its type */
function problemOf(mistake: SchemaMistake, isText: boolean): string {
  const { keyword, params, message = 'is refused', data, parentSchema = {} } = mistake;
  const { limit } = params as { readonly limit: number };
  switch (keyword) {
    case 'required':
      return 'is required';
    case 'type': {
      const types = [params.type].flat() as string[];
      return isText ? wrongType(types, data, shown(JSON.stringify(data), 100)) : wrongType(types, data);
    }
    case 'additionalProperties': {
      const known = Object.keys((parentSchema.properties ?? {}) as object);
      return known.length === 0 ? UNKNOWN_FIELD : `${UNKNOWN_FIELD}; known: ${listed(known)}`;
    }
    case 'enum':
      return notOneOf(params.allowedValues as readonly unknown[]);
    case 'const':
      return notOneOf([params.allowedValue]);
    case 'minimum':
    case 'exclusiveMinimum':
      return tooSmall(limit, keyword === 'minimum');
    case 'maximum':
    case 'exclusiveMaximum':
      return tooLarge(limit, keyword === 'maximum');
    case 'minLength':
      return tooFew(limit, 'character');
    case 'maxLength':
      return tooMany(limit, 'character');
    case 'minItems':
      return tooFew(limit, 'item');
    case 'maxItems':
      return tooMany(limit, 'item');
    case 'minProperties':
      return tooFew(limit, 'key');
    case 'maxProperties':
      return tooMany(limit, 'key');
    case 'format':
      return wrongFormat(String(params.format));
    case 'pattern':
      return `must match ${String(params.pattern)}`;
    default:
      return message;
  }
}

/** Where values are listed, they say more than their type. */
function withoutTypesOfChoices(mistakes: readonly SchemaMistake[]): readonly SchemaMistake[] {
  const choices = new Set(
    mistakes.flatMap(({ keyword, instancePath }) => (keyword === 'enum' || keyword === 'const' ? [instancePath] : [])),
  );
  return mistakes.filter(({ keyword, instancePath }) => keyword !== 'type' || !choices.has(instancePath));
}

const FORMS = new Set(['anyOf', 'oneOf']);

/**
 * Replaces the mistakes of all forms that a value may have (`anyOf`, `oneOf`) by those of the form that it is nearest to. Ajv reports the mistakes of
 * the forms before the one of the choice.
 */
function nearestForms(mistakes: readonly SchemaMistake[]): readonly SchemaMistake[] {
  const kept: SchemaMistake[] = [];
  for (const mistake of mistakes) {
    const { keyword, schemaPath, instancePath } = mistake;
    if (keyword === 'if') continue;
    if (!FORMS.has(keyword)) {
      kept.push(mistake);
      continue;
    }
    const isOfForm = (each: SchemaMistake): boolean =>
      each.schemaPath.startsWith(`${schemaPath}/`) &&
      (each.instancePath === instancePath || each.instancePath.startsWith(`${instancePath}/`));
    // They are the last ones.
    let from = kept.length;
    while (from > 0 && isOfForm(kept[from - 1] as SchemaMistake)) from -= 1;
    const ofForms = kept.splice(from);
    kept.push(...(ofForms.length === 0 ? [mistake] : nearestForm(mistake, ofForms)));
  }
  return kept;
}

function nearestForm(choice: SchemaMistake, mistakes: readonly SchemaMistake[]): readonly SchemaMistake[] {
  const forms = new Map<string, SchemaMistake[]>();
  for (const mistake of mistakes) {
    const [form = ''] = mistake.schemaPath.slice(choice.schemaPath.length + 1).split('/');
    const known = forms.get(form);
    if (known === undefined) forms.set(form, [mistake]);
    else known.push(mistake);
  }
  const isOwn = ({ instancePath }: SchemaMistake): boolean => instancePath === choice.instancePath;
  const isOtherType = (form: readonly SchemaMistake[]): boolean =>
    form.some((mistake) => mistake.keyword === 'type' && isOwn(mistake));
  const lists = [...forms.values()];
  if (lists.every(isOtherType)) {
    const types = [
      ...new Set(mistakes.filter(isOwn).flatMap(({ params }) => (params.type ?? []) as string | string[])),
    ];
    return [{ ...(mistakes.find(isOwn) as SchemaMistake), keyword: 'type', params: { type: types } }];
  }
  const own = (form: readonly SchemaMistake[]): number => form.filter(isOwn).length;
  const [nearest] = lists
    .filter((form) => !isOtherType(form))
    .toSorted((a, b) => own(a) - own(b) || a.length - b.length);
  return nearest ?? [choice];
}
