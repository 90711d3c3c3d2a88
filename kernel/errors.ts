import { hideSecrets } from './secrets.ts';

/** Who has to act on an error, and whether trying again can help. HTTP status and retries derive from it. */
export interface ErrorDetails {
  fault: 'caller' | 'dependency' | 'internal';
  retryable: boolean;
  cause?: unknown;
}

/**
 * Base of every error this platform throws on purpose. Concrete classes live in `<folder>/errors.ts`; their `code`
 * is stable and prefixed with the folder (`CONNECTOR_…`, `PIPELINE_…`). Messages never hold credentials.
 */
export abstract class PlatformError extends Error {
  abstract readonly code: string;
  readonly fault: ErrorDetails['fault'];
  readonly retryable: boolean;

  constructor(message: string, { fault, retryable, cause }: ErrorDetails) {
    super(hideSecrets(message), cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.fault = fault;
    this.retryable = retryable;
  }
}

/** A service could not listen because another process holds the port. */
export class PortInUseError extends PlatformError {
  readonly code = 'KERNEL_PORT_IN_USE';

  constructor(service: string, host: string, port: number, setting: string, cause?: unknown) {
    super(
      `${service} cannot listen on ${host}:${port}: the port is taken. Stop the other process, or set ${setting} to a free port (0 picks one).`,
      { fault: 'caller', retryable: false, cause },
    );
  }
}

/** An operation did not finish within its deadline. */
export class DeadlineExceededError extends PlatformError {
  readonly code = 'KERNEL_DEADLINE_EXCEEDED';

  constructor(operation: string, timeoutMs: number) {
    super(`${operation} did not finish within ${timeoutMs} ms`, { fault: 'dependency', retryable: true });
  }
}

/** Returns the message of anything thrown, for logs and dead letters, without credentials. */
export function messageOf(error: unknown): string {
  return hideSecrets(error instanceof Error ? error.message : String(error));
}
