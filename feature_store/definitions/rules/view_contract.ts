import { type Duration, durationMs } from '#kernel/times/duration';

/** What a view's rows must be like together. What each row must be like are the view's rules. */
export interface ViewContract<Name extends string = string> {
  /** How old its newest row may be, by event time. */
  readonly freshWithin?: Duration;
  /** Share of missing values that is still accepted, 0 to 1: of every feature, or by feature. */
  readonly mostMissing?: number | Readonly<Partial<Record<Name, number>>>;
  /** Share of rows that may break a rule with the action `warn`, 0 to 1. */
  readonly mostViolations?: number;
  /** Rows of this time until now are looked at; default: `1d`. */
  readonly over?: Duration;
}

const DEFAULT_OVER = '1d' as Duration;

/** Returns for how long back a contract looks at rows, ms. */
export const contractOverMs = ({ over = DEFAULT_OVER }: ViewContract): number => durationMs(over);

/** Returns what is wrong with a contract. @param features - of the view */
export function contractProblems(contract: ViewContract, features: readonly string[]): readonly string[] {
  const { mostMissing = {}, mostViolations } = contract;
  const shares = Object.entries(typeof mostMissing === 'number' ? { mostMissing } : mostMissing);
  if (mostViolations !== undefined) shares.push(['mostViolations', mostViolations]);
  const unknown =
    typeof mostMissing === 'number' ? [] : Object.keys(mostMissing).filter((name) => !features.includes(name));
  return [
    ...unknown.map((name) => `contract.mostMissing: there is no feature "${name}"`),
    ...shares
      .filter(([, share]) => !(Number(share) >= 0 && Number(share) <= 1))
      .map(([name, share]) => `contract: ${name} is a share between 0 and 1, not ${share}`),
  ];
}

/** Returns a contract without features that are switched off. */
export function contractOf(
  contract: ViewContract | undefined,
  isLeft: (feature: string) => boolean,
): ViewContract | undefined {
  if (contract === undefined || typeof contract.mostMissing !== 'object') return contract;
  const left = Object.entries(contract.mostMissing).filter(([feature]) => isLeft(feature));
  return { ...contract, mostMissing: Object.fromEntries(left) };
}
