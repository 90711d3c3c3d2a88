import { EntityKeyError } from '#feature_store/definitions/errors';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { type EntityKey, entityKeyFromId } from '#feature_store/definitions/values/entity_key';
import type { OnlineStore } from '#feature_store/online/online_store';
import { AmbiguousEntityError, UnknownEntityTypeError } from './errors.ts';
import type { Found } from './served_features.ts';

/** What is known of an id: as one of one entity. */
export interface Known {
  /** Undefined: there are no rows, and several entities it could be of. */
  readonly entity: string | undefined;
  readonly found: readonly Found[];
}

/** Ids as they can be read for one entity, and its views. */
interface Candidate {
  readonly entity: string;
  readonly views: FeatureView[];
  /** In the order of the ids; undefined for what is no id of it. */
  readonly keys: readonly (EntityKey | undefined)[];
}

/** Tells which entity an id is of: the one whose views have rows of it. */
export class EntityLookup {
  readonly #store: Pick<OnlineStore, 'read'>;

  constructor(store: Pick<OnlineStore, 'read'>) {
    this.#store = store;
  }

  /**
   * Reads rows of ids, in their order, from some views.
   *
   * @throws {@link AmbiguousEntityError} when views of several entities have rows of one id
   * @throws {@link EntityKeyError} when there is one entity, and it has no such ids
   */
  async read(ids: readonly string[], views: readonly FeatureView[]): Promise<readonly Known[]> {
    const candidates = candidatesOf(ids, views);
    const [first] = candidates;
    const only = candidates.length === 1 ? first?.entity : undefined;
    const byEntity = await Promise.all(candidates.map((candidate) => this.#rowsOf(candidate)));
    return ids.map((id, index) => {
      let known: Known = { entity: only, found: [] };
      for (const [at, { entity }] of candidates.entries()) {
        const found = byEntity[at]?.[index] as readonly Found[];
        if (found.length === 0) continue;
        if (known.found.length > 0) {
          const several = candidates.filter((_, place) => (byEntity[place]?.[index]?.length ?? 0) > 0);
          throw new AmbiguousEntityError(
            id,
            several.map((each) => each.entity),
          );
        }
        known = { entity, found };
      }
      return known;
    });
  }

  /**
   * Finds the key of an id among the entities of `views`; rows of `readable` views tell where there are several.
   *
   * @throws {@link AmbiguousEntityError} when it could be of several entities, and rows do not tell
   */
  async keyOf(
    id: string,
    entity: string | undefined,
    { views, readable }: { readonly views: readonly FeatureView[]; readonly readable: readonly FeatureView[] },
  ): Promise<EntityKey> {
    const candidates = candidatesOf([id], viewsOf(views, entity));
    const [first, ...others] = candidates;
    if (first !== undefined && others.length === 0) return first.keys[0] as EntityKey;
    const known = await Promise.all(
      candidates.map(async (candidate) => {
        const own = candidate.views.filter((view) => readable.includes(view));
        const [rows = []] = await this.#rowsOf({ ...candidate, views: own });
        return rows.length > 0;
      }),
    );
    const holders = candidates.filter((_, index) => known[index]);
    const [key] = holders[0]?.keys ?? [];
    if (key === undefined) throw new AmbiguousEntityError(id, entitiesOf(views), 'none');
    if (holders.length === 1) return key;
    throw new AmbiguousEntityError(
      id,
      holders.map((each) => each.entity),
    );
  }

  async #rowsOf({ views, keys }: Candidate): Promise<readonly Found[][]> {
    const found: Found[][] = keys.map(() => []);
    const isWhole = keys.every((key) => key !== undefined);
    const places = isWhole ? undefined : [...keys.keys()].filter((place) => keys[place] !== undefined);
    const asked = (isWhole ? keys : keys.filter((key) => key !== undefined)) as readonly EntityKey[];
    if (asked.length === 0) return found;
    const answers = await Promise.all(views.map((view) => this.#store.read(view, asked)));
    for (const [at, view] of views.entries()) {
      const rows = answers[at] ?? [];
      for (let index = 0; index < rows.length; index += 1) {
        const row = rows[index];
        if (row !== undefined) found[places?.[index] ?? index]?.push({ view, row });
      }
    }
    return found;
  }
}

const entitiesOf = (views: readonly FeatureView[]): readonly string[] => [
  ...new Set(views.map(({ entity }) => entity.name)),
];

/** Returns the views of an entity; all of them when none is named. @throws {@link UnknownEntityTypeError} */
export function viewsOf(views: readonly FeatureView[], entity: string | undefined): readonly FeatureView[] {
  if (entity === undefined) return views;
  const found = views.filter((view) => view.entity.name === entity);
  if (found.length === 0) throw new UnknownEntityTypeError(entity, entitiesOf(views));
  return found;
}

function candidatesOf(ids: readonly string[], views: readonly FeatureView[]): readonly Candidate[] {
  const isOnly = views.every(({ entity }) => entity.name === views[0]?.entity.name);
  const candidates = new Map<string, Candidate>();
  for (const view of views) {
    const { name } = view.entity;
    const held = candidates.get(name);
    if (held !== undefined) held.views.push(view);
    else candidates.set(name, { entity: name, views: [view], keys: ids.map((id) => keyOrNone(view, id, isOnly)) });
  }
  return [...candidates.values()];
}

function keyOrNone(view: FeatureView, id: string, isOnly: boolean): EntityKey | undefined {
  try {
    return entityKeyFromId(view, id);
  } catch (error) {
    if (isOnly || !(error instanceof EntityKeyError)) throw error;
    return undefined;
  }
}
