import type { EntityKey } from '#feature_store/definitions/entity_key';
import { type ViewReference, viewId } from '#feature_store/definitions/feature_row';

// An entity's key stands in braces, so that what is known of it shares a cluster slot.

/** `headwater:row:fraud@1:{account:a1}` */
export const rowKey = (prefix: string, view: ViewReference, entityKey: EntityKey): string =>
  `${prefix}:row:${viewId(view)}:{${entityKey}}`;

/** `headwater:counts:{account:a1}` */
export const countersKey = (prefix: string, entityKey: EntityKey): string => `${prefix}:counts:{${entityKey}}`;
