import type { EntityKey } from '#feature_store/definitions/values/entity_key';
import { type ViewReference, viewId } from '#feature_store/definitions/values/feature_row';

// An entity's key stands in braces, so that what is known of it shares a cluster slot.

/**
 * Returns what of a key decides its cluster slot: `{<entity key>}`. An empty part between braces would be none, so that a key that is empty or begins
 * with `}` gets `\` before it, and one that begins with `\` too: different entities never share a key. Keys that begin with an entity's name are as they are.
 */
const slotOf = (entityKey: EntityKey): string =>
  /^(?:$|[}\\])/.test(entityKey) ? `{\\${entityKey}}` : `{${entityKey}}`;

/** `headwater:row:fraud@1:{account:a1}` */
export const rowKey = (prefix: string, view: ViewReference, entityKey: EntityKey): string =>
  `${prefix}:row:${viewId(view)}:${slotOf(entityKey)}`;

/** `headwater:counts:{account:a1}` */
export const countersKey = (prefix: string, entityKey: EntityKey): string => `${prefix}:counts:${slotOf(entityKey)}`;
