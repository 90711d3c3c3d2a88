import { messageOf, PlatformError } from '#kernel/errors';
import type { Component, OpenComponent } from './component.ts';

/** What a round has found. */
export interface Outcome {
  readonly accepted: number;
  readonly found: number;
  readonly lost: number;
  readonly doubled: number;
  /** Starts that were refused with a named error. */
  readonly refused: number;
  /** Codes of the refusals. */
  readonly codes: readonly string[];
  /** What must not be: errors without a name, a second owner, no recovery. */
  readonly problems: readonly string[];
}

export const NOTHING: Outcome = { accepted: 0, found: 0, lost: 0, doubled: 0, refused: 0, codes: [], problems: [] };

export function joined(outcomes: readonly Outcome[]): Outcome {
  const sum = (of: (outcome: Outcome) => number): number => outcomes.reduce((total, each) => total + of(each), 0);
  return {
    accepted: sum(({ accepted }) => accepted),
    found: sum(({ found }) => found),
    lost: sum(({ lost }) => lost),
    doubled: sum(({ doubled }) => doubled),
    refused: sum(({ refused }) => refused),
    codes: outcomes.flatMap(({ codes }) => codes),
    problems: outcomes.flatMap(({ problems }) => problems),
  };
}

export const failed = ({ lost, doubled, problems }: Outcome): boolean => lost > 0 || doubled > 0 || problems.length > 0;

/** Returns the outcome of an error: a refusal when it has a name, a problem otherwise. */
export function refusedOrProblem(error: unknown, accepted: number): Outcome {
  if (error instanceof PlatformError) return { ...NOTHING, accepted, refused: 1, codes: [error.code] };
  const stack = error instanceof Error ? (error.stack ?? '').split('\n').slice(1, 4).join(' ') : '';
  return { ...NOTHING, accepted, problems: [`an error without a name: ${messageOf(error)} ${stack}`] };
}

/** Compares what was accepted with how often it was found. Ids that were never tried must not be found. */
export function compared(
  accepted: readonly string[],
  counts: ReadonlyMap<string, number>,
  isTried: (id: string) => boolean,
): Outcome {
  const missing = accepted.filter((id) => !counts.has(id));
  const doubled = [...counts].filter(([, count]) => count > 1).map(([id]) => id);
  const strange = [...counts.keys()].filter((id) => !isTried(id));
  const problems: string[] = [];
  if (missing.length > 0) problems.push(`lost, such as ${missing[0]} (of ${accepted.length} accepted)`);
  if (doubled.length > 0) problems.push(`found more than once, such as ${doubled[0]}`);
  if (strange.length > 0) problems.push(`found and never written, such as ${strange[0]}`);
  return {
    ...NOTHING,
    ...{ accepted: accepted.length, found: accepted.length - missing.length, lost: missing.length },
    ...{ doubled: doubled.length, problems },
  };
}

/** Opens a component as the next start does and looks for everything that was accepted. */
export async function verify(
  component: Component,
  folder: string,
  accepted: readonly string[],
  isTried: (id: string) => boolean,
): Promise<Outcome> {
  let open: OpenComponent;
  try {
    open = await component.open(folder);
  } catch (error) {
    return refusedOrProblem(error, accepted.length);
  }
  try {
    return compared(accepted, await open.found(accepted), isTried);
  } catch (error) {
    return refusedOrProblem(error, accepted.length);
  } finally {
    await open.close();
  }
}
