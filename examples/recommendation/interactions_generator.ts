import { DAY_MS, HOUR_MS, Random } from 'headwater/features';

export interface Interaction {
  readonly event_type: 'interaction';
  readonly interaction_id: string;
  readonly user_id: string;
  readonly item_id: string;
  readonly kind: 'view' | 'purchase';
  readonly country: string;
  /** RFC 3339 */
  readonly at: string;
}

export interface Visits {
  /** By time. */
  readonly interactions: readonly Interaction[];
  /** Each user's newest visit, kept apart. */
  readonly newest: ReadonlyMap<string, readonly Interaction[]>;
  /** By item. */
  readonly categories: ReadonlyMap<string, string>;
}

const COUNTRIES = ['DE', 'FR', 'PL'] as const;
const CATEGORIES = ['books', 'games', 'garden', 'kitchen', 'music', 'sport', 'toys', 'wine'] as const;
/** Categories of the morning, the afternoon and the evening; garden is preferred in FR, sport in PL. */
const HOURS = [8, 14, 20] as const;
const OF_THE_HOUR: Readonly<Record<number, readonly string[]>> = {
  8: ['books', 'sport'],
  14: ['garden', 'toys', 'kitchen'],
  20: ['games', 'music', 'wine'],
};
const OF_THE_COUNTRY: Readonly<Record<string, readonly string[]>> = {
  DE: ['games'],
  FR: ['garden', 'wine'],
  PL: ['sport'],
};
const DIMENSIONS = 6;
const VISITS = 8;
const ITEMS_A_VISIT = 6;

/**
 * Makes visits of four weeks. A visit has an hour and six products, drawn in proportion to exp(popularity + taste · properties + what fits hour and country). Unreal: tastes do not change, products are neither new nor sold
 * out, what is shown does not influence what is chosen, and hour and country weigh more than in most shops.
 *
 * @param nowMs - the end of the four weeks
 */
export function makeVisits(users: number, items: number, nowMs: number, seed: number): Visits {
  const random = new Random(seed);
  const vector = (): number[] => Array.from({ length: DIMENSIONS }, () => random.normal());
  const products = Array.from({ length: items }, (_, at) => ({
    ...{ id: `p${at}`, category: CATEGORIES[at % CATEGORIES.length] as string, properties: vector() },
    popularity: -0.8 * Math.log(1 + random.integer(0, items)),
  }));
  const interactions: Interaction[] = [];
  const newest = new Map<string, readonly Interaction[]>();
  for (let user = 0; user < users; user += 1) {
    const taste = vector();
    const country = random.pick(COUNTRIES);
    const liking = products.map(({ properties, popularity }) =>
      properties.reduce((sum, property, at) => sum + 0.8 * property * (taste[at] as number), popularity),
    );
    const seen = new Set<number>();
    for (let visit = 0; visit < VISITS; visit += 1) {
      const hour = random.pick(HOURS);
      const daysAgo = VISITS - visit + random.between(-0.1, 0.1);
      const day = Math.floor((nowMs - 3 * daysAgo * DAY_MS) / DAY_MS) * DAY_MS;
      const weights = products.map(({ category }, at) => {
        if (seen.has(at)) return 0;
        const fits = OF_THE_HOUR[hour]?.includes(category) === true ? 1 : 0;
        return Math.exp(
          (liking[at] as number) + fits + (OF_THE_COUNTRY[country]?.includes(category) === true ? 0.8 : 0),
        );
      });
      const chosen = Array.from({ length: ITEMS_A_VISIT }, (_, each): Interaction => {
        const item = random.weighted(weights);
        weights[item] = 0;
        seen.add(item);
        return {
          ...{ event_type: 'interaction', interaction_id: `u${user}-${visit}-${each}`, user_id: `u${user}` },
          ...{ item_id: `p${item}`, kind: random.chance(0.2) ? 'purchase' : 'view', country },
          at: new Date(day + hour * HOUR_MS + each * 60_000).toISOString(),
        };
      });
      if (visit === VISITS - 1) newest.set(`u${user}`, chosen);
      else interactions.push(...chosen);
    }
  }
  interactions.sort((a, b) => (a.at < b.at ? -1 : 1));
  return { interactions, newest, categories: new Map(products.map(({ id, category }) => [id, category])) };
}
