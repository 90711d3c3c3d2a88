/** `headwater/client`: sends events, reads features and requests predictions over HTTP, with `fetch` alone. */
export { createClient, type HeadwaterClient } from '#client/create_client';
export {
  AnswerTimeoutError,
  ClientError,
  type FieldProblem,
  NoAnswerError,
  RequestFailedError,
  UnreadableAnswerError,
} from '#client/errors';
export type { FeaturesClient } from '#client/features';
export {
  FeedbackQueue,
  type Flushed,
  memoryReports,
  type ReportStorage,
  type WaitingReport,
} from '#client/feedback_queue';
export { indexedDbReports } from '#client/indexed_db_reports';
export type { BatchedEvent, ClientEvent, IngestClient, IngestedBatch, IngestedEvent } from '#client/ingest';
export type { ClientOptions } from '#client/listeners';
export type {
  BatchRequest,
  Contributions,
  Explanation,
  FeatureInput,
  Feedback,
  Prediction,
  PredictionRequest,
  Predictions,
  PredictionsClient,
} from '#client/predictions';
export type { RequestOptions } from '#client/transport';
export type { Vector, VectorRow } from '#client/vectors';
export type { ReadOptions, StoredValue, ViewClient } from '#client/view_client';
