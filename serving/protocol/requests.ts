import type { FastifyRequest } from 'fastify';
import { v7 as newPredictionId } from 'uuid';
import { z } from 'zod';
import { andMore, listed, MOST_NAMED, shown } from '#kernel/problem_list';
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

/** @throws {@link InvalidRequestError} for what is no object, or has keys that are not known */
export function checkBody<T extends { readonly model_name?: string }>(body: T, keys: ReadonlySet<string>): T {
  if (!isObject(body)) throw new InvalidRequestError('the body must be a JSON object');
  for (const key in body) {
    if (keys.has(key)) continue;
    const unknown = Object.keys(body).filter((name) => !keys.has(name));
    throw new InvalidRequestError(`${listed(unknown)} is not known here; known: ${[...keys].join(', ')}`);
  }
  if (body.model_name !== undefined && typeof body.model_name !== 'string') {
    throw new InvalidRequestError('model_name must be a string');
  }
  return body;
}

/** A body of settings has no more; each value at every level counts. */
const MOST_VALUES = 20_000;

/**
 * Reads a body as a schema has it. Its size is looked at before its values, so that no work is put into one that is far too large.
 *
 * @throws {@link InvalidRequestError} naming the first 20 problems, and how many more there are
 */
export function parsedBody<T>(schema: z.ZodType<T>, body: unknown, mostValues = MOST_VALUES): T {
  if (valuesIn(body, mostValues) > mostValues) {
    throw new InvalidRequestError(`the body has more than ${mostValues} values: send less at once`);
  }
  const parsed = schema.safeParse(body);
  if (!parsed.success) throw new InvalidRequestError(problemsOf(parsed.error));
  return parsed.data;
}

/** Counts values at every level, up to one more than `most`. */
function valuesIn(value: unknown, most: number): number {
  if (typeof value !== 'object' || value === null) return 1;
  if (Array.isArray(value) && value.length > most) return value.length;
  let count = 1;
  for (const name in value) {
    count += valuesIn((value as Readonly<Record<string, unknown>>)[name], most - count);
    if (count > most) break;
  }
  return count;
}

/** Problems of what was sent, as zod words them. */
function problemsOf({ issues }: z.ZodError): string {
  const first = issues.toSorted((a, b) => a.path.length - b.path.length).slice(0, MOST_NAMED);
  const named = z.prettifyError({ issues: first.map((issue) => ({ ...issue, message: messageOf(issue) })) });
  return named + andMore(issues.length - first.length, '\n');
}

function messageOf(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'unrecognized_keys') return shown(issue.message, 500);
  return `Unrecognized key${issue.keys.length > 1 ? 's' : ''}: ${listed(
    issue.keys.map((key) => `"${shown(key)}"`),
    { longest: 300 },
  )}`;
}

/** The features of one row, or the entity to look up. */
export function checkRow({ features, entity_id: entity }: PredictBody): void {
  if (features !== undefined && !isObject(features)) throw new InvalidRequestError('features must be an object');
  if (entity !== undefined && typeof entity !== 'string') throw new InvalidRequestError('entity_id must be a string');
  if (features === undefined && entity === undefined) {
    throw new InvalidRequestError('send "features", or "entity_id" to have them looked up');
  }
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
