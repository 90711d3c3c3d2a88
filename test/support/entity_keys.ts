import { type EntityKey, entityKeyFromId } from '#feature_store/definitions/values/entity_key';

/** The key of an account, or of another entity, with such an id. */
export const keyOf = (id: string, entity = 'account'): EntityKey =>
  entityKeyFromId({ entity: { name: entity, joinKeys: ['id'] }, joinKeyTypes: ['string'] }, id);
