import type { Interaction } from './interactions_generator.ts';

export interface ContextRow {
  readonly context: string;
  readonly popular: readonly string[];
  readonly categories: readonly string[];
  readonly lifts: readonly number[];
}

export const EVERYWHERE = 'all';
const MOST_POPULAR = 100;
/** Pseudo-interactions that keep rare categories near 1. */
const PRIOR = 20;

/** Returns the part of the day, UTC: `morning`, `afternoon` or `evening`. */
export function daypartOf(ms: number): string {
  const hour = new Date(ms).getUTCHours();
  return hour >= 17 || hour < 4 ? 'evening' : hour >= 11 ? 'afternoon' : 'morning';
}

/** Returns for all, for each part of the day and for each country what is popular, and how much more each category is than in all. */
export function contextsOf(
  interactions: readonly Interaction[],
  categories: ReadonlyMap<string, string>,
): readonly ContextRow[] {
  const byContext = new Map<string, Interaction[]>();
  for (const each of interactions) {
    for (const context of [EVERYWHERE, daypartOf(Date.parse(each.at)), each.country]) {
      const held = byContext.get(context);
      if (held === undefined) byContext.set(context, [each]);
      else held.push(each);
    }
  }
  const categoryOf = ({ item_id: item }: Interaction): string => categories.get(item) as string;
  const overall = countsBy(interactions, categoryOf);
  return [...byContext].map(([context, held]) => {
    const here = countsBy(held, categoryOf);
    const items = countsBy(held, ({ item_id: item }) => item);
    const names = [...overall.keys()].sort();
    return {
      context,
      popular: [...items]
        .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
        .map(([item]) => item)
        .slice(0, MOST_POPULAR),
      categories: names,
      lifts: names.map((name) => {
        const share = (overall.get(name) as number) / interactions.length;
        return ((here.get(name) ?? 0) + PRIOR * share) / ((held.length + PRIOR) * share);
      }),
    };
  });
}

function countsBy<T>(values: readonly T[], keyOf: (value: T) => string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(keyOf(value), (counts.get(keyOf(value)) ?? 0) + 1);
  return counts;
}
