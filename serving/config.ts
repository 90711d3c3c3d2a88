import { z } from 'zod';
import { accessSettings } from '#connectors/http/config';
import { experimentSchema, followSchema } from './runtime/experiment.ts';

const servedModel = z.strictObject({
  name: z.string().min(1),
  follow: followSchema.default({ stage: 'Production' }),
  /** Versions that answer side by side. */
  experiment: experimentSchema.optional(),
  /** A version that computes along without answering: how it differs is told in metrics. */
  shadow: followSchema.optional(),
});

export const servingConfigSchema = z.strictObject({
  ...accessSettings,
  host: z.string().default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(8_000),
  models: z.array(servedModel).min(1),
  /** How often the registry is asked for promotions, ms. */
  refreshIntervalMs: z.int().positive().default(1_000),
  maxBodyBytes: z
    .int()
    .positive()
    .default(4 * 1024 * 1024),
  maxBatchRows: z.int().positive().default(10_000),
  /** Rows waiting or being computed, over all requests, before new ones are answered 503. */
  maxPendingRows: z.int().positive().default(50_000),
  /** Rows that a model may be run on to explain one, where it cannot be explained exactly. */
  explainBudget: z.int().positive().default(8_192),
  /** Predictions waiting to be logged before new ones are dropped (and counted). */
  maxPendingLog: z.int().positive().default(100_000),
});
export type ServingConfig = z.infer<typeof servingConfigSchema>;
export type ServedModel = z.infer<typeof servedModel>;
