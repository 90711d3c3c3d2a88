import { z } from 'zod';
import { accessSettings } from '#connectors/http/config';
import { tlsSchema } from '#monitoring/http/tls_config';
import { modelLimitsSchema } from '#registry/graphs/model_limits';
import { modelNameSchema } from '#registry/names';
import { modelRuntimeSchema } from './models/model_runtime.ts';
import { PREDICTION_FORMATS } from './prediction_store/prediction_records.ts';
import { servedModelSchema } from './routing/served_model.ts';

export const servingConfigSchema = z.strictObject({
  ...accessSettings,
  host: z.string().default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(8_000),
  /** The Open Inference Protocol over gRPC, with the certificate of `tls`; absent: not served. */
  grpc: z.strictObject({ port: z.int().min(0).max(65_535).default(8_001) }).optional(),
  /** Processes that serve behind one port, where this process only serves. */
  workers: z.int().min(1).max(64).default(1),
  models: z.array(servedModelSchema).default([]),
  /** Other models in production are loaded at the first request for them; absent: they are not served. */
  onDemand: z
    .strictObject({
      memoryMb: z.number().positive().default(512),
      /** How they are computed. */
      runtime: modelRuntimeSchema.prefault({}),
      /** How some of them are computed, by name, instead. */
      runtimes: z.record(modelNameSchema, modelRuntimeSchema).default({}),
    })
    .optional(),
  modelLimits: modelLimitsSchema.prefault({}),
  /** How often promotions are read from the registry, ms. */
  refreshIntervalMs: z.int().positive().default(1_000),
  maxBodyBytes: z
    .int()
    .positive()
    .default(4 * 1024 * 1024),
  maxBatchRows: z.int().positive().default(10_000),
  /** Rows waiting or being computed, over all requests, before new ones are answered 503. */
  maxPendingRows: z.int().positive().default(50_000),
  /** A request that would have to wait longer is answered 503 before its body is read, ms. */
  maxQueueMs: z.int().positive().default(80),
  /** Keeps what was computed for a row; absent: nothing is kept. */
  predictionCache: z
    .strictObject({ ttlMs: z.int().positive().default(60_000), maxEntries: z.int().positive().default(10_000) })
    .optional(),
  /** Answers say in the header `server-timing` what their stages took. */
  serverTiming: z.boolean().default(false),
  /** The page at /console: whether it is there, and where its metrics and alerts come from beyond this process. */
  console: z.strictObject({ enabled: z.boolean().default(true), prometheusUrl: z.url().optional() }).prefault({}),
  tls: tlsSchema.optional(),
  /** Rows that a model may be run on to explain one, where it cannot be explained exactly. */
  explainBudget: z.int().positive().default(8_192),
  /** Predictions waiting to be logged before new ones are dropped (and counted). */
  maxPendingLog: z.int().positive().default(100_000),
  /** A tensor that is no rows of columns is logged with its values when it has so many at most; others by type and shape, and counted. Answers wait in memory for their sinks. */
  maxLoggedTensorValues: z.int().nonnegative().default(1_024),
  /** How predictions are written to their topic: JSON, or CloudEvents with it as their data. */
  predictionFormat: z.enum(PREDICTION_FORMATS).default('json'),
});
export type ServingConfig = z.infer<typeof servingConfigSchema>;
