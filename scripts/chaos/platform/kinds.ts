import type { Component } from './component.ts';
import { damaged, fullDisk, killed, paused, type Round, twoOwners } from './component_rounds.ts';
import {
  BIT_FLIP,
  type Damage,
  GARBAGE,
  REPEATED_BYTES,
  SWAPPED_SECTORS,
  TRUNCATION,
  ZEROED_SECTOR,
} from './damage.ts';
import type { Outcome } from './outcome.ts';

/** A kind of fault: rounds of it come up as often as its weight says. */
export interface Kind {
  readonly name: string;
  readonly weight: number;
  /** Its rounds share one platform, one at a time: they have a lane of their own, beside those of single components. */
  readonly sharesPlatform?: boolean;
  run(round: Round): Promise<Outcome>;
}

/** What takes a second to open comes up less often. */
const SLOW = new Set(['offline store']);
const SLOW_SHARE = 2;

const DAMAGES: readonly (readonly [Damage, number])[] = [
  [BIT_FLIP, 14],
  [TRUNCATION, 8],
  [ZEROED_SECTOR, 4],
  [GARBAGE, 3],
  [SWAPPED_SECTORS, 3],
  [REPEATED_BYTES, 3],
];

const weightOf = (component: Component, weight: number): number =>
  SLOW.has(component.name) ? Math.ceil(weight / SLOW_SHARE) : weight;

export function componentKinds(components: readonly Component[], withDisks: boolean): readonly Kind[] {
  return components.flatMap((component): readonly Kind[] => {
    const kind = (name: string, weight: number, run: Kind['run']): Kind => ({
      name: `${name}: ${component.name}`,
      weight: weightOf(component, weight),
      run,
    });
    return [
      kind('kill', 12, (round) => killed(component, round)),
      kind('pause', 6, (round) => paused(component, round)),
      kind('two owners', 4, (round) => twoOwners(component, round)),
      ...DAMAGES.map(([damage, weight]) => kind(damage.name, weight, (round) => damaged(component, damage, round))),
      ...(withDisks ? [kind('full disk', 6, (round) => fullDisk(component, round))] : []),
    ];
  });
}
