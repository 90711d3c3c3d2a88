import { z } from 'zod';
import { InvalidJsonError, parseExactJsonBytes } from '#kernel/exact/exact_json';
import type { JsonObject } from '#kernel/json';
import type { ModelPackage, ModelSignature } from '../packages/model_package.ts';
import type { SignatureEncoder } from '../packages/signature_encoder.ts';

/** The file of `log_model(…, input_example=…)`. */
export type InputExample = Uint8Array;

/** More add little to what explanations compare with. */
const MOST_ROWS = 100;

const exampleSchema = z.union([
  z.looseObject({
    columns: z.array(z.union([z.string(), z.number()])).optional(),
    data: z.array(z.array(z.unknown())),
  }),
  z.looseObject({ inputs: z.array(z.array(z.unknown())) }),
  z.array(z.record(z.string(), z.unknown())),
  z.array(z.array(z.unknown())),
]);

/**
 * Returns the rows of an input example that the model takes: they are run when it is loaded, and explanations compare with them. What an example gives is not
 * known, and an example in another form is passed over.
 */
export function examplesOf(
  example: InputExample | undefined,
  { inputs }: Pick<ModelSignature, 'inputs'>,
  encoder: SignatureEncoder,
): ModelPackage['examples'] {
  if (example === undefined) return [];
  const parsed = exampleSchema.safeParse(readJson(example));
  if (!parsed.success) return [];
  const names = inputs.map(({ name }) => name);
  const rows = rowsOf(parsed.data, names).slice(0, MOST_ROWS);
  const into = encoder.allocate(1);
  return rows.flatMap((features) =>
    encoder.encode(features, into, 0) === undefined ? [{ features: features as JsonObject, output: [] }] : [],
  );
}

function readJson(bytes: Uint8Array): unknown {
  try {
    return parseExactJsonBytes(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    if (error instanceof InvalidJsonError) return undefined;
    throw error;
  }
}

function rowsOf(example: z.infer<typeof exampleSchema>, names: readonly string[]): Record<string, unknown>[] {
  const named = (columns: readonly unknown[], values: readonly unknown[]): Record<string, unknown> =>
    Object.fromEntries(values.map((value, at) => [String(columns[at]), value]));
  if (Array.isArray(example)) {
    return example.map((row) => (Array.isArray(row) ? named(names, row) : row));
  }
  if ('data' in example) {
    const { columns, data } = example as { columns?: readonly (string | number)[]; data: unknown[][] };
    // A frame without names has numbers for them.
    const isNamed = columns?.every((name) => typeof name === 'string') === true;
    return data.map((row) => named(isNamed ? (columns as readonly string[]) : names, row));
  }
  return (example as { inputs: unknown[][] }).inputs.map((row) => named(names, row));
}
