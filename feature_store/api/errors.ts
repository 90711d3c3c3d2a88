import { PlatformError } from '#kernel/errors';
import { knownNames } from '#kernel/known_names';

export class UnknownEntityError extends PlatformError {
  readonly code = 'FEATURE_STORE_UNKNOWN_ENTITY';
  readonly httpStatus = 404;

  constructor(entity: string) {
    super(`there are no features for "${entity}": no event of it has been seen within their ttl`, {
      fault: 'caller',
      retryable: false,
    });
  }
}

/** Rows of a view are computed by the platform, or there is no such view. */
export class NotPushedError extends PlatformError {
  readonly code = 'FEATURE_STORE_NOT_PUSHED';
  readonly httpStatus = 404;

  constructor(view: string, pushed: readonly string[]) {
    const known = pushed.length === 0 ? 'no view is' : `${pushed.join(', ')} can be`;
    super(`rows of view "${view}" cannot be pushed: ${known}. Declare the view with mode: 'push'`, {
      fault: 'caller',
      retryable: false,
    });
  }
}

export class UnknownFeatureError extends PlatformError {
  readonly code = 'FEATURE_STORE_UNKNOWN_FEATURE';
  readonly httpStatus = 404;

  constructor(feature: string, known: readonly string[]) {
    super(`there is no feature "${feature}"; ${knownNames(feature, known)}`, { fault: 'caller', retryable: false });
  }
}

/** Views of several entities have rows of an id, or of none of those it could be of. */
export class AmbiguousEntityError extends PlatformError {
  readonly code = 'FEATURE_STORE_AMBIGUOUS_ENTITY';
  readonly httpStatus = 409;
  readonly entities: readonly string[];

  /** @param rows - `none`: there are no rows that would tell */
  constructor(id: string, entities: readonly string[], rows: 'several' | 'none' = 'several') {
    const why = rows === 'several' ? 'is an id of' : 'has no rows that tell which it is of:';
    super(`"${id}" ${why} ${entities.join(', ')}: name one, such as ?entity=${entities[0]}`, {
      fault: 'caller',
      retryable: false,
    });
    this.entities = entities;
  }
}

export class UnknownEntityTypeError extends PlatformError {
  readonly code = 'FEATURE_STORE_UNKNOWN_ENTITY_TYPE';

  constructor(entity: string, known: readonly string[]) {
    super(`there is no entity called "${entity}"; ${knownNames(entity, known)}`, { fault: 'caller', retryable: false });
  }
}
