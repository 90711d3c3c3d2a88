import type { ErrorForms, Failure, WriteError } from '#monitoring/http/error_answer';

// Errors as the clients of foreign protocols expect them.

const contentType = 'application/json; charset=utf-8';

/** The Open Inference Protocol, REST: `{"error": "…"}` (KServe, Triton, MLServer). */
const openInference: WriteError = ({ message }) => ({ contentType, body: { error: message } });

/** mlflow.protos.databricks_pb2.ErrorCode, by HTTP status. */
const MLFLOW_CODES: Readonly<Record<number, string>> = {
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'RESOURCE_DOES_NOT_EXIST',
  405: 'ENDPOINT_NOT_FOUND',
  409: 'RESOURCE_CONFLICT',
  422: 'INVALID_PARAMETER_VALUE',
  429: 'REQUEST_LIMIT_EXCEEDED',
  500: 'INTERNAL_ERROR',
  503: 'TEMPORARILY_UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};

/** MLflow's scoring server: `{"error_code": "…", "message": "…"}`. */
const mlflow: WriteError = ({ status, message }) => ({
  contentType,
  body: { error_code: MLFLOW_CODES[status] ?? 'BAD_REQUEST', message },
});

/** Exceptions of the SageMaker runtime (InvokeEndpoint) and of AWS JSON services in general. */
const awsException = ({ status }: Failure): string => {
  if (status === 401 || status === 403) return 'AccessDeniedException';
  if (status === 429) return 'ThrottlingException';
  if (status === 503 || status === 504) return 'ServiceUnavailable';
  return status >= 500 ? 'InternalFailure' : 'ValidationError';
};

/** The SageMaker runtime: `{"Message": "…"}` and the exception in a header, by AWS's protocol restJson1. */
const sageMaker: WriteError = (failure) => ({
  contentType,
  headers: { 'x-amzn-errortype': awsException(failure) },
  body: { Message: failure.message },
});

/** By path. */
export const PROTOCOL_ERRORS: ErrorForms = {
  '/v2': openInference,
  '/v1': openInference,
  '/invocations': mlflow,
  '/endpoints': sageMaker,
  '/ping': sageMaker,
};
