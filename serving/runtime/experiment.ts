import { z } from 'zod';
import { stableHash32 } from '#kernel/hash';

const HASHES = 2 ** 32;

/** Which version answers: a stage or an alias of the registry, or one fixed version. */
export const followSchema = z.union([
  z.strictObject({ stage: z.enum(['Production', 'Staging']) }),
  z.strictObject({ alias: z.string().min(1) }),
  z.strictObject({ version: z.int().positive() }),
]);
export type Follow = z.infer<typeof followSchema>;

/** Several versions answer side by side, each a share of the entities. */
export const experimentSchema = z
  .strictObject({
    name: z.string().min(1),
    /** Another salt deals the entities anew; the name without. */
    salt: z.string().min(1).optional(),
    variants: z
      .array(
        z.strictObject({
          name: z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, 'must be a name such as challenger'),
          /** Its share is this over the sum of all. */
          weight: z.number().positive(),
          /** What the model itself follows, without. */
          follow: followSchema.optional(),
        }),
      )
      .min(2),
  })
  .refine(({ variants }) => new Set(variants.map(({ name }) => name)).size === variants.length, {
    message: 'two variants have one name',
    path: ['variants'],
  });
export type Experiment = z.infer<typeof experimentSchema>;

/** Deals entities to variants: each always to the same one, and independently of what other experiments deal it to. */
export class Assignment {
  readonly experiment: string;
  readonly #salt: string;
  /** Upper bounds of the variants' shares, 0 to 1. */
  readonly #bounds: readonly (readonly [variant: string, upTo: number])[];

  constructor({ name, salt, variants }: Experiment) {
    this.experiment = name;
    this.#salt = salt ?? name;
    const total = variants.reduce((sum, { weight }) => sum + weight, 0);
    let upTo = 0;
    this.#bounds = variants.map((variant) => {
      upTo += variant.weight / total;
      return [variant.name, upTo];
    });
  }

  /** @param entity - undefined: nobody in particular, who is dealt by chance */
  variantOf(entity: string | undefined): string {
    const at = entity === undefined ? Math.random() : stableHash32(`${this.#salt}:${entity}`) / HASHES;
    const [last] = this.#bounds[this.#bounds.length - 1] as readonly [string, number];
    return this.#bounds.find(([, upTo]) => at < upTo)?.[0] ?? last;
  }
}
