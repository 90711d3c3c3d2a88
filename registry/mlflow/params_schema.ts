import { z } from 'zod';
import type { ModelParam } from '../packages/model_package.ts';

// The schema of `params` in an MLmodel: mlflow.types.ParamSchema.

const schema = z.array(
  z.looseObject({
    name: z.string(),
    type: z.enum(['boolean', 'integer', 'long', 'float', 'double', 'string', 'datetime', 'object']),
    default: z.unknown().optional(),
    shape: z.array(z.number()).nullish(),
  }),
);

/** Reads the params of a signature; undefined where it has none. */
export function paramsOf(text: string | null | undefined, problems: string[]): readonly ModelParam[] | undefined {
  if (text === null || text === undefined) return undefined;
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {}
  const parsed = schema.safeParse(content);
  if (!parsed.success) {
    problems.push(`the params in its MLmodel cannot be read: ${z.prettifyError(parsed.error)}`);
    return undefined;
  }
  return parsed.data.map(({ name, type, shape }) => ({ name, type, isList: shape !== null && shape !== undefined }));
}
