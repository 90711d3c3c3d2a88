import { PlatformError } from '../errors.ts';

/** A value has no canonical form as a key: it is null, not finite, no number of 64 bits, or of a type that has none. */
export class InvalidKeyError extends PlatformError {
  readonly code = 'KERNEL_INVALID_KEY';

  /** @param where - the place inside a compound key, such as `[1].name`; empty for the key itself */
  constructor(problem: string, where = '') {
    super(
      `${where === '' ? 'the key' : `the key's part ${where}`} ${problem}. A key is a string, a boolean, an integer of 64 bits, a finite number, bytes, or a tuple of these`,
      { fault: 'caller', retryable: false },
    );
  }
}

/** Bytes or text are not what the key codec writes. */
export class MalformedKeyError extends PlatformError {
  readonly code = 'KERNEL_MALFORMED_KEY';

  constructor(what: string) {
    super(`this is no encoded key: ${what}`, { fault: 'caller', retryable: false });
  }
}
