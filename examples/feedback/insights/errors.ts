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

export class FolderInUseError extends PlatformError {
  readonly code = 'FEEDBACK_FOLDER_IN_USE';
  readonly httpStatus = 503;

  constructor(folder: string, pid: number) {
    super(
      `FEEDBACK_DATABASE: process ${pid} has the folder "${folder}": stop it, or erase with its DELETE /insights/customers/ID; a PostgreSQL server can be shared`,
      { fault: 'caller', retryable: true },
    );
  }
}

export { ProviderFailedError } from 'headwater/serving';
