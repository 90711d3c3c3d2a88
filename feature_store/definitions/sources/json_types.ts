import { z } from 'zod';

/** Types of zod that no value of JSON has, with what a source takes instead. */
const NOT_IN_JSON: Readonly<Record<string, string>> = {
  date: 'z.iso.datetime(), or z.coerce.date()',
  map: 'z.record()',
  set: 'z.array()',
  symbol: 'z.string()',
  function: 'z.string()',
  promise: 'the type itself',
  file: 'z.base64()',
};

/**
 * Finds the fields of a schema that no event can have, since events are JSON.
 *
 * @returns a problem for each, with the field's path and the type to take instead
 */
export function jsonTypeProblems(schema: z.ZodObject): readonly string[] {
  const problems: string[] = [];
  z.toJSONSchema(schema, {
    ...{ io: 'input', unrepresentable: 'any' },
    override({ zodSchema, path }) {
      const { type, coerce } = zodSchema._zod.def as { readonly type: string; readonly coerce?: boolean };
      const instead = NOT_IN_JSON[type];
      if (instead === undefined || coerce === true) return;
      const field = path.filter((step) => step !== 'properties').join('.');
      problems.push(`field "${field}" is a ${type}, which JSON does not have: take ${instead}`);
    },
  });
  return problems.reverse();
}
