import { Random } from 'headwater/features';
import type { Row } from './federated_averaging.ts';

export const FEATURES = 8;

/**
 * Makes rows of clients. The mean of each feature differs by client, and with it the share of positive labels. Unreal: one rule holds for all
 * clients, noise is the same everywhere, and features are on one scale.
 *
 * @param poisoned - clients whose labels are all inverted
 * @returns the rows of each client, and as many held-out rows
 */
export function makeClients(
  names: readonly string[],
  rows: number,
  seed: number,
  poisoned: readonly string[] = [],
): { readonly clients: ReadonlyMap<string, readonly Row[]>; readonly test: readonly Row[] } {
  const random = new Random(seed);
  const rule = Array.from({ length: FEATURES }, () => random.normal());
  const clients = new Map<string, readonly Row[]>();
  const test: Row[] = [];
  for (const name of names) {
    const moved = rule.map(() => 0.6 * random.normal());
    const drawn = Array.from({ length: 2 * rows }, (): Row => {
      const features = moved.map((by) => Number((by + random.normal()).toFixed(9)));
      const sum = features.reduce((total, value, at) => total + value * (rule[at] as number), 0);
      return { features, label: random.chance(1 / (1 + Math.exp(-2 * sum))) ? 1 : 0 };
    });
    test.push(...drawn.slice(rows));
    const isPoisoned = poisoned.includes(name);
    clients.set(
      name,
      drawn.slice(0, rows).map((row) => (isPoisoned ? { ...row, label: row.label === 1 ? 0 : 1 } : row)),
    );
  }
  return { clients, test };
}
