import { z } from 'zod';
import { InvalidModelError } from '#registry/errors';
import { DEFAULT_THRESHOLD, type ModelSignature, type RowValues } from '#registry/packages/model_package';
import type { SignatureEncoder } from '#registry/packages/signature_encoder';

/** Moves the threshold of rows for which it holds: by a category, or by what is known of a customer. */
export const thresholdRuleSchema = z
  .strictObject({
    /** A column of the model. */
    feature: z.string().min(1),
    in: z
      .array(z.union([z.string(), z.number(), z.boolean()]))
      .min(1)
      .optional(),
    atLeast: z.number().optional(),
    below: z.number().optional(),
    /** What is added to the threshold; below 0 is stricter. */
    add: z.number().min(-1).max(1),
  })
  .refine((rule) => rule.in !== undefined || rule.atLeast !== undefined || rule.below !== undefined, {
    message: 'a rule of thresholds requires "in", "atLeast" or "below"',
  });
export type ThresholdRule = z.infer<typeof thresholdRuleSchema>;

const LEAST = 0.01;
const MOST = 0.99;

interface Condition {
  readonly column: number;
  /** As the model sees them. */
  readonly values: ReadonlySet<number> | undefined;
  readonly atLeast: number;
  readonly below: number;
  readonly add: number;
}

/** A threshold for each row: the model's own, moved by every rule that holds for what the model sees of the row. */
export class AdaptiveThreshold {
  readonly #base: number;
  readonly #conditions: readonly Condition[];

  /** @throws {@link InvalidModelError} for rules about what the model does not know */
  constructor(rules: readonly ThresholdRule[], signature: ModelSignature, encoder: SignatureEncoder) {
    const { task, threshold = DEFAULT_THRESHOLD } = signature;
    if (task !== 'binary_classification' && task !== 'anomaly_detection') {
      throw new InvalidModelError([`it has no threshold that rules could move: it is for ${task.replace('_', ' ')}`]);
    }
    this.#base = threshold;
    this.#conditions = rules.map((rule) => {
      const column = encoder.names.indexOf(rule.feature);
      if (column < 0)
        throw new InvalidModelError([`a rule of thresholds names ${rule.feature}, which it has no column for`]);
      const values = rule.in?.map((value) => {
        const encoded = encoder.encodeValue(column, value);
        if (typeof encoded === 'number') return encoded;
        throw new InvalidModelError([`a rule of thresholds: ${rule.feature} ${encoded}`]);
      });
      return {
        ...{
          column,
          add: rule.add,
          values: values === undefined ? undefined : new Set(encoder.isWide ? values : values.map(Math.fround)),
        },
        atLeast: rule.atLeast ?? Number.NEGATIVE_INFINITY,
        below: rule.below ?? Number.POSITIVE_INFINITY,
      };
    });
  }

  /** @param input - rows; `offset` is where this one begins */
  of(input: RowValues, offset: number): number {
    let threshold = this.#base;
    for (const { column, values, atLeast, below, add } of this.#conditions) {
      const value = input[offset + column] as number;
      if (values === undefined ? value >= atLeast && value < below : values.has(value)) threshold += add;
    }
    return Math.min(MOST, Math.max(LEAST, threshold));
  }
}
