import { readFile } from 'node:fs/promises';
import { DAY_MS } from 'headwater/features';
import { checkContracts, pushRows, readHistory, type ScheduledInput, task, workflow } from 'headwater/workflows';
import { type ContextRow, contextsOf } from '../context_statistics.ts';
import { visitorHistory } from '../features/interactions.ts';
import { contextStatistics, itemTaste, userTaste } from '../features/tastes.ts';
import type { Interaction } from '../interactions_generator.ts';
import { factorise } from '../matrix_factorisation.ts';

/** Interactions of this time are learned from. */
const LEARNED_DAYS = 30;
/** So much more than a view a purchase counts. */
const PURCHASE = 3;

/** Returns the interactions of the last month, by time, from the history of the visitors' view. */
async function readInteractions(to: string): Promise<readonly Interaction[]> {
  const found = new Map<string, Interaction>();
  const from = new Date(Date.parse(to) - LEARNED_DAYS * DAY_MS).toISOString();
  await readHistory(visitorHistory, { from, to }, (rows) => {
    for (const { entity, at, values } of rows) {
      const { interaction_id: id, item_id: item, kind, country } = values;
      // A row is also written when interactions leave the window: the first of an interaction is its own.
      if (id === null || item === null || found.has(id)) continue;
      found.set(id, {
        ...{ event_type: 'interaction', interaction_id: id, user_id: entity, item_id: item, at },
        ...{ kind: kind as Interaction['kind'], country: country ?? '' },
      });
    }
  });
  return [...found.values()].sort((a, b) => (a.at < b.at ? -1 : 1));
}

/** Categories of the products, from JSON lines `{"item_id", "category"}` in the file of the variable `products`. */
async function readCategories(file: string): Promise<ReadonlyMap<string, string>> {
  const lines = (await readFile(file, 'utf8')).trim().split('\n');
  return new Map(
    lines.map((line) => {
      const { item_id: item, category } = JSON.parse(line) as { readonly item_id: string; readonly category: string };
      return [item, category];
    }),
  );
}

/** Returns how often each visitor has interacted with each product. */
export function countsOf(interactions: readonly Interaction[]): ReadonlyMap<string, ReadonlyMap<string, number>> {
  const counts = new Map<string, Map<string, number>>();
  for (const { user_id: user, item_id: item, kind } of interactions) {
    const ofUser = counts.get(user) ?? new Map<string, number>();
    ofUser.set(item, (ofUser.get(item) ?? 0) + (kind === 'purchase' ? PURCHASE : 1));
    counts.set(user, ofUser);
  }
  return counts;
}

export interface Learned {
  readonly interactions: number;
  readonly visitors: number;
  readonly products: number;
  readonly contexts: number;
}

/** Learns tastes of visitors and products, and what is popular where and when; `POST /recommend` answers by them from then on. */
export const learn = task(
  'learn-tastes',
  async ({ schedule }: ScheduledInput, context): Promise<Learned> => {
    const interactions = await readInteractions(schedule?.time ?? new Date().toISOString());
    const categories = await readCategories(String(context.variable('products')));
    const { users, items } = factorise(countsOf(interactions), 1);
    const contexts = contextsOf(interactions, categories);
    const at = new Date().toISOString();
    const taste = (vector: Float64Array): number[] => Array.from(vector, Math.fround);
    const visitors = [...users].map(([user_id, vector]) => ({ user_id, taste: taste(vector), at }));
    const products = [...items].map(([item_id, vector]) => ({
      ...{ item_id, taste: taste(vector), category: categories.get(item_id) ?? '', at },
    }));
    await pushRows(context, userTaste, visitors);
    await pushRows(context, itemTaste, products);
    await pushRows(
      context,
      contextStatistics,
      contexts.map((row: ContextRow) => ({ ...row, at })),
    );
    return {
      ...{ interactions: interactions.length, visitors: visitors.length },
      ...{ products: products.length, contexts: contexts.length },
    };
  },
  { process: true },
);

/** Each night: whether interactions are as they should be, then tastes as of the last month. */
export const learnTastes = workflow<ScheduledInput>('learn', (w) =>
  w.task('Check', checkContracts(visitorHistory)).task('Learn', learn, {
    retry: [{ ErrorEquals: ['States.TaskFailed'], IntervalSeconds: 5, BackoffRate: 2, MaxAttempts: 4 }],
  }),
);
