import { InvalidModelError } from '#registry/errors';
import type { ModelPackage, RowValues } from '#registry/packages/model_package';
import type { SignatureEncoder } from '#registry/packages/signature_encoder';

// Imports nothing of Node: pages and workers check their models as well.

/** Golden rows must come back this close to what the trainer saw. */
const TOLERANCE = 1e-3;

interface RowComputation {
  readonly encoder: SignatureEncoder;
  /** Values a row has in the output. */
  readonly outputWidth: number;
  run(input: RowValues, rows: number): Promise<RowValues>;
}

/**
 * Computes the golden rows of a package; without any, one row of zeros.
 *
 * @returns the rows as the model takes them: [examples, columns], row-major
 * @throws {@link InvalidModelError} that names the examples that cannot be read, or come out differently
 */
export async function checkGoldenRows(model: RowComputation, examples: ModelPackage['examples']): Promise<RowValues> {
  const { encoder, outputWidth } = model;
  const { width } = encoder;
  const rows = Math.max(1, examples.length);
  const input = encoder.allocate(rows);
  const problems: string[] = [];
  for (const [index, { features }] of examples.entries()) {
    const found = encoder.encode(features, input, index * width);
    for (const { field, problem } of found ?? []) problems.push(`its example ${index}: ${field} ${problem}`);
  }
  if (problems.length > 0) throw new InvalidModelError(problems);
  const output = await model.run(input, rows);
  for (const [index, { output: expected }] of examples.entries()) {
    for (const [column, value] of expected.entries()) {
      const found = output[index * outputWidth + column] as number;
      if (!(Math.abs(found - value) <= TOLERANCE * Math.max(1, Math.abs(value)))) {
        problems.push(`its example ${index} gives ${found} where the trainer saw ${value}`);
      }
    }
  }
  if (problems.length > 0) throw new InvalidModelError(problems);
  return input.subarray(0, examples.length * width);
}
