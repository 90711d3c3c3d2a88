/**
 * Fails a state as the Amazon States Language names it. Retry and Catch match the name; `States.Runtime` and `States.DataLimitExceeded` are caught by no
 * `States.ALL`.
 */
export class StateError extends Error {
  readonly error: string;

  constructor(error: string, cause: string) {
    super(cause);
    this.name = 'StateError';
    this.error = error;
  }
}

export const runtimeError = (cause: string): StateError => new StateError('States.Runtime', cause);
export const parameterPathFailure = (cause: string): StateError => new StateError('States.ParameterPathFailure', cause);
export const intrinsicFailure = (cause: string): StateError => new StateError('States.IntrinsicFailure', cause);
