import { PlatformError } from '#kernel/errors';

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

export class UnknownFeatureError extends PlatformError {
  readonly code = 'FEATURE_STORE_UNKNOWN_FEATURE';
  readonly httpStatus = 404;

  constructor(feature: string, known: readonly string[]) {
    super(`there is no feature "${feature}"; there is ${known.join(', ')}`, { fault: 'caller', retryable: false });
  }
}
