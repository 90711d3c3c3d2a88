import { messageOf, PlatformError } from '#kernel/errors';
import { InvalidPipelineError, SnapshotError } from '#pipelines/engine/errors';
import type { ShardFailure } from './messages.ts';

/** A worker thread failed, with what its transform threw, or ended by itself. */
export class ShardFailedError extends PlatformError {
  readonly code = 'PIPELINE_TRANSFORM_FAILED';

  constructor(message: string) {
    super(message, { fault: 'internal', retryable: true });
  }
}

export function failureOf(error: unknown): ShardFailure {
  return {
    code: error instanceof PlatformError ? error.code : undefined,
    message: messageOf(error),
    stack: error instanceof Error ? error.stack : undefined,
  };
}

/** The error again, on the job's thread, with the stack it had. */
export function revive({ code, message, stack }: ShardFailure): Error {
  const error =
    code === 'PIPELINE_SNAPSHOT_UNUSABLE'
      ? new SnapshotError(message)
      : code === 'PIPELINE_INVALID'
        ? new InvalidPipelineError(message)
        : new ShardFailedError(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}
