import { type FeaturesPlugin, stableHash32 } from 'headwater/features';
import { needs } from 'headwater/serving';
import { daypartOf, EVERYWHERE } from './context_statistics.ts';
import { visitorHistory } from './features/interactions.ts';
import { contextStatistics, itemTaste, userTaste } from './features/tastes.ts';

/** How candidates are found: near to the visitor's taste, or near to what the visitor has seen last. */
export const ALGORITHMS = ['matrix_factorisation', 'similar_items'] as const;
export type Algorithm = (typeof ALGORITHMS)[number] | 'popularity';

export interface Recommended {
  readonly algorithm: Algorithm;
  readonly items: readonly string[];
}

interface Body {
  readonly user: string;
  readonly k?: number;
  readonly country?: string;
  /** RFC 3339; absent: now. */
  readonly at?: string;
}

const CANDIDATES = 100;
const USUAL_ITEMS = 20;
/** How many of the newest items are looked at for similar ones. */
const RECENT = 5;

const body = {
  type: 'object',
  required: ['user'],
  additionalProperties: false,
  properties: {
    user: { type: 'string', minLength: 1 },
    k: { type: 'integer', minimum: 1, maximum: CANDIDATES },
    country: { type: 'string', minLength: 2, maxLength: 2 },
    at: { type: 'string', format: 'date-time' },
  },
} as const;

/** Which algorithm a visitor's recommendations are of: always the same. */
export const algorithmOf = (user: string): (typeof ALGORITHMS)[number] =>
  ALGORITHMS[stableHash32(`recommend ${user}`) % ALGORITHMS.length] as (typeof ALGORITHMS)[number];

/** `POST /recommend`: products for a visitor, the best first, without those that the visitor has seen. Visitors without history get what is popular in their country. */
export const recommend: FeaturesPlugin = {
  name: 'recommend',
  register(app, { read, nearest }) {
    const lifts = async (contexts: readonly string[]): Promise<(category: string) => number> => {
      const rows = await read(contextStatistics, contexts);
      return (category) =>
        rows.reduce((product, row) => {
          const at = row?.categories?.indexOf(category) ?? -1;
          return at < 0 ? product : product * (row?.lifts?.[at] ?? 1);
        }, 1);
    };

    app.post<{ Body: Body }>(
      '/recommend',
      { config: { access: needs('features:user_taste@1') }, schema: { body } },
      async ({ body: { user, k = USUAL_ITEMS, country, at } }): Promise<Recommended> => {
        const [[history], [taste]] = await Promise.all([read(visitorHistory, [user]), read(userTaste, [user])]);
        const seen = history?.items_30d ?? [];
        const place = country ?? history?.country ?? EVERYWHERE;
        if (taste?.taste === undefined || taste.taste === null || seen.length === 0) {
          const [here, everywhere] = await read(contextStatistics, [place, EVERYWHERE]);
          return { algorithm: 'popularity', items: (here ?? everywhere)?.popular?.slice(0, k) as string[] };
        }
        const algorithm = algorithmOf(user);
        let wish = taste.taste;
        if (algorithm === 'similar_items') {
          const recent = await read(itemTaste, seen.slice(0, RECENT) as string[]);
          wish = sumOf(
            recent.flatMap((row) => (row?.taste == null ? [] : [row.taste])),
            wish.length,
          );
        }
        const [found, lift] = await Promise.all([
          nearest(itemTaste, 'taste', wish, {
            ...{ metric: algorithm === 'similar_items' ? 'cosine' : 'inner_product', k: CANDIDATES + seen.length },
          }),
          lifts([daypartOf(at === undefined ? Date.now() : Date.parse(at)), place]),
        ]);
        const candidates = found.filter(({ entity }) => !seen.includes(entity)).slice(0, CANDIDATES);
        const rows = await read(
          itemTaste,
          candidates.map(({ entity }) => entity),
        );
        const ranked = candidates
          .map(({ entity, distance }, index) => {
            const closeness = Math.max(0, algorithm === 'similar_items' ? 1 - distance : -distance);
            return { item: entity, score: closeness * lift(rows[index]?.category ?? '') };
          })
          .sort((a, b) => b.score - a.score);
        return { algorithm, items: ranked.slice(0, k).map(({ item }) => item) };
      },
    );
  },
};

function sumOf(vectors: readonly Float32Array[], length: number): Float32Array {
  const sum = new Float32Array(length);
  for (const vector of vectors) for (const [at, value] of vector.entries()) sum[at] = (sum[at] as number) + value;
  return sum;
}
