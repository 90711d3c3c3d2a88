import { z } from 'zod';
import { stableHash32 } from '#kernel/hashes/hash';
import { listed } from '#kernel/problem_list';
import { followSchema } from '../models/follow.ts';

const HASHES = 2 ** 32;

/** What counts as the outcome of a prediction: the value that came back, or whether the label was the one predicted. */
export const OUTCOMES = ['value', 'correct'] as const;
export type Outcome = (typeof OUTCOMES)[number];

const variantName = z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, 'must be a name such as challenger');
const scalar = z.union([z.string(), z.number(), z.boolean()]);

/** Who is always answered by one variant: the first rule that holds decides, before any share. */
const ruleSchema = z.union([
  z.strictObject({ variant: variantName, entities: z.array(z.string()).min(1) }),
  z.strictObject({ variant: variantName, feature: z.string().min(1), in: z.array(scalar).min(1) }),
  z
    .strictObject({
      variant: variantName,
      feature: z.string().min(1),
      atLeast: z.number().optional(),
      below: z.number().optional(),
    })
    .refine(({ atLeast, below }) => atLeast !== undefined || below !== undefined, {
      message: 'a rule about a feature requires "in", "atLeast" or "below"',
    }),
]);
export type Rule = z.infer<typeof ruleSchema>;

/** Several versions answer side by side, each a share of the entities. */
export const experimentSchema = z
  .strictObject({
    name: z.string().min(1).max(128),
    /** Another salt deals the entities anew; the name without. */
    salt: z.string().min(1).max(128).optional(),
    variants: z
      .array(
        z.strictObject({
          name: variantName,
          /** Its share is this over the sum of all. */
          weight: z.number().positive(),
          /** What the model itself follows, without. */
          follow: followSchema.optional(),
        }),
      )
      .min(2),
    rules: z.array(ruleSchema).default([]),
    /** `weights`: shares as configured; `thompson`: shares follow the outcomes, the better the more (a bandit). */
    allocation: z.enum(['weights', 'thompson']).default('weights'),
    /** What counts as the outcome of a prediction, where shares follow it. */
    outcome: z.enum(OUTCOMES).default('value'),
    /** The least share that a bandit leaves each variant. */
    explore: z.number().min(0).max(0.2).default(0.02),
  })
  .superRefine(({ variants, rules, explore }, context) => {
    const names = variants.map(({ name }) => name);
    const issue = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    const known = new Set(names);
    if (known.size !== names.length) issue('variants', 'two variants have one name');
    const unknown = rules.filter(({ variant }) => !known.has(variant)).map(({ variant }) => variant);
    if (unknown.length > 0) issue('rules', `${listed(unknown)} is no variant; variants are ${listed(names)}`);
    if (explore * names.length >= 1) issue('explore', 'leaves nothing to deal: it times the variants must be below 1');
  });
export type Experiment = z.infer<typeof experimentSchema>;

/** Whom a prediction is about, as far as the request says. */
export interface Subject {
  readonly entity?: string | undefined;
  /** Those of the request; not what is looked up. */
  readonly features?: Readonly<Record<string, unknown>> | undefined;
  /** That the request names: it answers, and the request counts for no experiment. */
  readonly variant?: string | undefined;
}

/** Deals entities to variants: each always to the same one, and independently of what other experiments deal it to. */
export class Assignment {
  readonly experiment: Experiment;
  readonly #salt: string;
  readonly #rules: readonly Rule[];
  /** Upper bounds of the variants' shares, 0 to 1. */
  #bounds: readonly (readonly [variant: string, upTo: number])[];

  constructor(experiment: Experiment) {
    this.experiment = experiment;
    const { name, salt, variants, rules } = experiment;
    this.#salt = salt ?? name;
    this.#rules = rules;
    const total = variants.reduce((sum, { weight }) => sum + weight, 0);
    this.#bounds = this.#boundsOf(variants.map(({ weight }) => weight / total));
  }

  /** @param shares - in the order of the variants; adding up to 1 */
  setShares(shares: readonly number[]): void {
    this.#bounds = this.#boundsOf(shares);
  }

  #boundsOf(shares: readonly number[]): readonly (readonly [string, number])[] {
    let upTo = 0;
    return this.experiment.variants.map(({ name }, index) => {
      upTo += shares[index] as number;
      return [name, upTo];
    });
  }

  /** By variant. */
  get shares(): Readonly<Record<string, number>> {
    let before = 0;
    return Object.fromEntries(
      this.#bounds.map(([name, upTo]) => {
        const share = upTo - before;
        before = upTo;
        return [name, share];
      }),
    );
  }

  /** Whether features of a request decide. */
  get asksFeatures(): boolean {
    return this.#rules.some((rule) => 'feature' in rule);
  }

  /** Returns the first rule that holds; undefined: the shares decide. */
  ruleFor({ entity, features }: Subject): Rule | undefined {
    return this.#rules.find((each) => holds(each, entity, features));
  }

  /** Returns where an entity lies between 0 and 1; each variant has a part of that as long as its share, in their order. */
  positionOf(entity: string): number {
    return shareOf(this.#salt, entity);
  }

  /** A request without an entity is assigned at random. */
  variantOf(subject: Subject): string {
    const { entity } = subject;
    const rule = this.ruleFor(subject);
    if (rule !== undefined) return rule.variant;
    const at = shareOf(this.#salt, entity);
    const [last] = this.#bounds[this.#bounds.length - 1] as readonly [string, number];
    return this.#bounds.find(([, upTo]) => at < upTo)?.[0] ?? last;
  }
}

/** Where an entity lies between 0 and 1, always at the same place for a salt; undefined: anywhere. */
export function shareOf(salt: string, entity: string | undefined): number {
  return entity === undefined ? Math.random() : stableHash32(`${salt}:${entity}`) / HASHES;
}

function holds(rule: Rule, entity: string | undefined, features: Subject['features']): boolean {
  if ('entities' in rule) return entity !== undefined && rule.entities.includes(entity);
  const value = features?.[rule.feature];
  if ('in' in rule) return rule.in.includes(value as string);
  const { atLeast = Number.NEGATIVE_INFINITY, below = Number.POSITIVE_INFINITY } = rule;
  return typeof value === 'number' && value >= atLeast && value < below;
}
