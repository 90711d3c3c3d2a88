import { messageOf } from '#kernel/errors';
import type { CodeOptions } from '../code_identity.ts';
import type { FeatureValue } from '../values/feature_row.ts';

export const RULE_ACTIONS = ['drop', 'dead_letter', 'warn'] as const;
/**
 * What becomes of a row that breaks a rule: `drop`, it is not written; `dead_letter`, its event goes to the dead letters instead; `warn`, it is
 * written. Always counted, and the event stays part of the entity's windows.
 */
export type RuleAction = (typeof RULE_ACTIONS)[number];

type Values = Readonly<Record<string, FeatureValue>>;

/** Something that every row of a view must fulfil. */
export interface QualityRule {
  /** Those it looks at. */
  readonly features: readonly string[];
  readonly description: string;
  readonly action: RuleAction;
  holds(values: Values): boolean;
  /** What the source of `holds` does not show. */
  readonly code?: CodeOptions | undefined;
}

/** Missing values break only {@link notNull}. */
function ofPresent(
  feature: string,
  description: string,
  action: RuleAction,
  holds: (value: NonNullable<FeatureValue>) => boolean,
  uses: Readonly<Record<string, unknown>>,
): QualityRule {
  return {
    features: [feature],
    description: `${feature} ${description}`,
    action,
    holds: ({ [feature]: value }) => value === null || value === undefined || holds(value),
    code: { uses: { feature, holds, ...uses } },
  };
}

/** Requires that a feature has a value. */
export const notNull = (feature: string, action: RuleAction): QualityRule => ({
  features: [feature],
  description: `${feature} is there`,
  action,
  holds: ({ [feature]: value }) => value !== null && value !== undefined,
  code: { uses: { feature } },
});

/** Requires that a feature, where it has a value, is in a range: both ends included. */
export const inRange = (
  feature: string,
  { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY }: { readonly min?: number; readonly max?: number },
  action: RuleAction,
): QualityRule =>
  ofPresent(feature, `is between ${min} and ${max}`, action, (value) => Number(value) >= min && Number(value) <= max, {
    min,
    max,
  });

/** Requires that a feature, where it has a value, is one of these. */
export const oneOf = (feature: string, values: readonly FeatureValue[], action: RuleAction): QualityRule =>
  ofPresent(feature, `is one of ${values.join(', ')}`, action, (value) => values.includes(value), { values });

/** Requires that a feature, where it has a value, matches a pattern. */
export const matches = (feature: string, pattern: RegExp, action: RuleAction): QualityRule =>
  ofPresent(feature, `matches ${pattern.source}`, action, (value) => pattern.test(String(value)), { pattern });

/** Requires anything that can be said of a row. */
export const satisfies = (
  features: readonly string[],
  description: string,
  action: RuleAction,
  holds: QualityRule['holds'],
  code?: CodeOptions,
): QualityRule => ({ features, description, action, holds, code });

/** A rule that a row breaks, by its name in the view. */
export interface Violation {
  readonly name: string;
  readonly rule: QualityRule;
}

/** @returns the rules that a row breaks, the gravest action first: dead letter, drop, warn */
export function violationsOf(rules: Readonly<Record<string, QualityRule>>, values: Values): readonly Violation[] {
  let broken: Violation[] | undefined;
  for (const name in rules) {
    const rule = rules[name] as QualityRule;
    if (holds(name, rule, values)) continue;
    broken ??= [];
    broken.push({ name, rule });
  }
  return broken === undefined ? NONE : broken.sort((a, b) => GRAVITY[a.rule.action] - GRAVITY[b.rule.action]);
}

function holds(name: string, rule: QualityRule, values: Values): boolean {
  try {
    return rule.holds(values);
  } catch (error) {
    throw new Error(`its rule ${name} failed: ${messageOf(error)}`, { cause: error });
  }
}

const NONE: readonly Violation[] = [];
const GRAVITY: Readonly<Record<RuleAction, number>> = { dead_letter: 0, drop: 1, warn: 2 };
