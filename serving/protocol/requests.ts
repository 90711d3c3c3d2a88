import type { FastifyRequest } from 'fastify';
import { v7 as newPredictionId } from 'uuid';
import type { z } from 'zod';
import { plainIssues, problemsOfIssues } from '#kernel/field_problems';
import type { Task } from '#registry/packages/model_package';
import { InvalidRequestError } from '../errors.ts';
import type { AnswerIds } from '../inference/answered_rows.ts';
import type { Features } from '../inference/predictor.ts';
import type { Predicted } from '../models/interpret.ts';
import type { ActiveModel } from '../models/model_slot.ts';

// What requests and answers of the platform's own API have in common.

export interface PredictBody {
  readonly model_name?: string;
  readonly features?: Features;
  readonly entity_id?: string;
  readonly return_probabilities?: boolean;
  readonly return_freshness?: boolean;
  readonly explain?: boolean;
}

export const isObject = (value: unknown): value is Features =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Reads a part of a body that is kept as a document, such as a routing: the schema of the route has its form, and the document's own schema has rules
 * between its fields.
 *
 * @param field - where it is in the body
 * @throws {@link InvalidRequestError} naming the fields that break a rule
 */
export function documentIn<T>(schema: z.ZodType<T>, field: string, value: unknown): T {
  const parsed = schema.safeParse(value, { error: plainIssues });
  if (parsed.success) return parsed.data;
  const problems = problemsOfIssues(parsed.error.issues);
  throw new InvalidRequestError(
    problems.map(({ field: path, problem }) => ({ field: path === '' ? field : `${field}.${path}`, problem })),
  );
}

/** Where an answer's id is, where its body has no place for it. */
export const PREDICTION_ID = 'x-prediction-id';

/** The caller's own id when it sent a sensible one: as in the answer's x-request-id. */
export const requestIdOf = ({ id }: Pick<FastifyRequest, 'id'>): string => id;

/** Names an answer: by the caller's id, and by one of the platform's own, which rise with time. */
export const idsOf = (requestId: string): AnswerIds => ({ requestId, predictionId: newPredictionId() });

/** Adds who has answered, and how fast. */
export function describeAnswer(
  body: Record<string, unknown>,
  { name, version, variant }: Pick<ActiveModel, 'name' | 'version' | 'variant'>,
  { requestId, predictionId }: { readonly requestId: string; readonly predictionId?: string },
  latencyMs: number,
): Record<string, unknown> {
  body.model_name = name;
  body.model_version = version;
  body.variant = variant;
  body.request_id = requestId;
  if (predictionId !== undefined) body.prediction_id = predictionId;
  body.latency_ms = Math.round(latencyMs * 1_000) / 1_000;
  return body;
}

/** What the outputs are called in answers. */
const OUTPUTS_OF: Readonly<Record<Task, string>> = {
  binary_classification: 'probabilities',
  multiclass_classification: 'probabilities',
  regression: 'values',
  clustering: 'distances',
  anomaly_detection: 'scores',
  values: 'values',
  tensors: 'values',
};

/** Probabilities and their like, under the name that they have. */
export function outputsOf({ model }: ActiveModel, predicted: readonly Predicted[], isSingle: boolean): object {
  if (predicted[0]?.outputs === undefined) return {};
  const { task, onnx } = model.signature;
  // The plain output, under its own name.
  const outputs = predicted.map((each) =>
    task === 'values' ? { [onnx.output]: Object.values(each.outputs ?? {}) } : each.outputs,
  );
  return { [OUTPUTS_OF[model.signature.task]]: isSingle ? outputs[0] : outputs };
}

/** What decided, where it depends on the row. */
export function thresholdsOf(predicted: readonly Predicted[], isSingle: boolean): object {
  if (predicted[0]?.threshold === undefined) return {};
  const thresholds = predicted.map(({ threshold }) => threshold);
  return isSingle ? { threshold: thresholds[0] } : { thresholds };
}
