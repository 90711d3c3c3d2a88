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

export { ProviderFailedError } from 'headwater/serving';
