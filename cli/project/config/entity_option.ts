import type { Catalog } from '#feature_store/definitions/catalog';
import { EntityKeyError } from '#feature_store/definitions/errors';
import {
  type EntityKey,
  entityKeyFromId,
  entityKeyFromText,
  type KeyedEntity,
} from '#feature_store/definitions/values/entity_key';
import { knownNames } from '#kernel/known_names';
import { CommandFailedError } from '../../terminal/command_failed_error.ts';

/** Entities by name. */
const identities = ({ views }: Pick<Catalog, 'views'>): ReadonlyMap<string, KeyedEntity> =>
  new Map(views.map((view) => [view.entity.name, view]));

/**
 * Reads what a person may call an entity: a key such as `user:x9`; or an id such as `x9`, of `entity` if that is said, otherwise of every entity that has
 * such ids.
 *
 * @throws {@link CommandFailedError} for an entity that is not defined; {@link EntityKeyError} for what is no key or id of it
 */
export function entityKeysOf(catalog: Pick<Catalog, 'views'>, text: string, entity?: string): readonly EntityKey[] {
  const known = identities(catalog);
  if (entity !== undefined) {
    const of = known.get(entity);
    if (of === undefined)
      throw new CommandFailedError(`there is no entity "${entity}"; ${knownNames(entity, [...known.keys()])}`);
    return [entityKeyFromId(of, text)];
  }
  const named = known.get(text.slice(0, Math.max(0, text.indexOf(':'))));
  if (named !== undefined) return [entityKeyFromText(named, text)];
  return [...known.values()].flatMap((of) => {
    try {
      return [entityKeyFromId(of, text)];
    } catch (error) {
      if (!(error instanceof EntityKeyError)) throw error;
      return [];
    }
  });
}
