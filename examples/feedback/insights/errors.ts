import { PlatformError } from 'headwater/serving';

export class UnsupportedLanguageError extends PlatformError {
  readonly code = 'FEEDBACK_UNSUPPORTED_LANGUAGE';
  readonly httpStatus = 422;

  constructor(language: string) {
    super(`text is in "${language}"; send English, Spanish or French, or name one of them in "lang" (en, es, fr)`, {
      fault: 'caller',
      retryable: false,
    });
  }
}

/** An answer of a provider that is not passed on. The message never holds the text or the answer. */
export class ProviderFailedError extends PlatformError {
  readonly code = 'FEEDBACK_PROVIDER_FAILED';
  readonly reason: 'unavailable' | 'refused' | 'unreadable' | 'invalid';

  constructor(reason: ProviderFailedError['reason'], message: string, cause?: unknown) {
    super(message, { fault: 'dependency', retryable: reason === 'unavailable', cause });
    this.reason = reason;
  }
}
