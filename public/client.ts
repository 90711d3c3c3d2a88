/** `headwater/client`: sends events, reads features and requests predictions over HTTP, with `fetch` alone. */
export { type ClientOptions, createClient, type HeadwaterClient } from '#client/create_client';
export {
  AnswerTimeoutError,
  type FieldProblem,
  NoAnswerError,
  RequestFailedError,
  UnreadableAnswerError,
} from '#client/errors';
export type { FeaturesClient, StoredValue, Vector, VectorRow, ViewClient } from '#client/features';
export type { BatchedEvent, ClientEvent, IngestClient, IngestedBatch, IngestedEvent } from '#client/ingest';
export type {
  BatchRequest,
  FeatureInput,
  Prediction,
  PredictionRequest,
  Predictions,
  PredictionsClient,
} from '#client/predictions';
export type { RequestOptions } from '#client/transport';
export { PlatformError } from '#kernel/errors';
