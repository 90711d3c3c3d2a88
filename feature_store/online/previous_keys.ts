import type { FeatureView } from '#feature_store/definitions/feature_view';
import { type EntityKey, entityOf } from '#feature_store/definitions/values/entity_key';
import { entityKeyFromPrevious } from '#feature_store/definitions/values/previous_entity_key';

/** Returns the keys that a key of an earlier release may be: one of each entity that some view is of. */
export function keysFromPrevious(views: readonly FeatureView[], previous: string): readonly EntityKey[] {
  const keys = new Map<string, EntityKey>();
  for (const view of views) {
    const read = entityKeyFromPrevious(view, previous);
    if ('key' in read) keys.set(entityOf(read.key), read.key);
  }
  return [...keys.values()];
}
