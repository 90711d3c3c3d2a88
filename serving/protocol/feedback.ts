import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { DeadLetterWriter } from '#connectors/dead_letters/dead_letter_writer';
import { writeInHalves } from '#connectors/delivery';
import { hasScope } from '#connectors/http/access';
import type { FieldProblem } from '#kernel/field_problems';
import type { Clock } from '#kernel/time';
import { needs, needsSome } from '#monitoring/http/routes/route_access';
import { Counter, type Registry } from '#monitoring/metrics';
import {
  AmbiguousFeedbackError,
  ForbiddenFeedbackError,
  InvalidRequestError,
  UnknownExperimentError,
  UnknownPredictionError,
} from '../errors.ts';
import { resultsOf } from '../experiments/results.ts';
import type { ModelServer } from '../inference/model_server.ts';
import type { FeedbackRow, FeedbackStore } from '../prediction_store/feedback_store.ts';
import type { NamedPrediction, PredictionStore, RequestRow } from '../prediction_store/prediction_store.ts';
import type { Experiment, Outcome } from '../routing/assignment.ts';
import { routingStateSchema } from '../routing/routing.ts';
import * as schemas from './schemas.ts';

/** Stores of predictions and their outcomes. */
export interface FeedbackStores {
  readonly predictions: Pick<PredictionStore, 'find' | 'modelsOfRequests'>;
  readonly feedback: FeedbackStore;
}

/** An outcome as {@link schemas.feedback} has it. */
interface ReportedOutcome {
  readonly prediction_id?: string;
  readonly request_id?: string;
  /** Of a batch; default: 0. */
  readonly row_index?: number;
  readonly label?: string | number | boolean;
  readonly value?: number;
}

type FeedbackBody = ReportedOutcome | { readonly feedback: readonly ReportedOutcome[] };

/** Returns a problem for each outcome that names no prediction, or two, or has nothing to report. */
const problemsIn = (list: readonly ReportedOutcome[], pathOf: (index: number) => string): readonly FieldProblem[] =>
  list.flatMap(({ prediction_id: own, request_id: callers, label, value }, index) => [
    ...((own === undefined) === (callers === undefined)
      ? [{ field: `${pathOf(index)}prediction_id`, problem: 'or request_id is required, and not both' }]
      : []),
    ...(label === undefined && value === undefined
      ? [
          {
            field: `${pathOf(index)}label`,
            problem: '(what it should have been) or value (what came of it) is required',
          },
        ]
      : []),
  ]);

/** The log is a moment behind the answers. */
const LOOKS = 5;
const BETWEEN_LOOKS_MS = 200;
const SHOWN_CANDIDATES = 5;

/**
 * Returns the prediction that each names: all of them, or none is kept.
 *
 * @throws {@link AmbiguousFeedbackError}, {@link UnknownPredictionError}
 */
async function namedPredictions(
  store: FeedbackStores['predictions'],
  list: readonly ReportedOutcome[],
): Promise<readonly string[]> {
  const keyOf = ({ requestId, rowIndex }: RequestRow): string => `${rowIndex}#${requestId}`;
  const asked = new Map<string, RequestRow>();
  for (const { request_id: requestId, row_index: rowIndex = 0 } of list) {
    if (requestId !== undefined) asked.set(keyOf({ requestId, rowIndex }), { requestId, rowIndex });
  }
  const found = new Map<string, NamedPrediction[]>();
  for (let look = 1; look <= LOOKS && found.size < asked.size; look += 1) {
    if (look > 1) await sleep(BETWEEN_LOOKS_MS);
    const missing = [...asked].filter(([key]) => !found.has(key)).map(([, row]) => row);
    for (const prediction of await store.find(missing)) {
      const key = keyOf(prediction);
      found.set(key, [...(found.get(key) ?? []), prediction]);
    }
  }
  const nameOf = ({ requestId, rowIndex }: RequestRow): string => `request_id "${requestId}", row ${rowIndex}`;
  const ambiguous = [...asked].flatMap(([key, row]) => {
    const candidates = found.get(key) ?? [];
    if (candidates.length < 2) return [];
    const shown = candidates
      .slice(-SHOWN_CANDIDATES)
      .map((each) => `${each.predictionId} (${each.modelName} ${each.modelVersion}, ${isoTime(each.predictedAtMs)})`);
    return [{ name: nameOf(row), candidates: shown }];
  });
  if (ambiguous.length > 0) throw new AmbiguousFeedbackError(ambiguous);
  const unknown = [...asked].filter(([key]) => !found.has(key)).map(([, row]) => nameOf(row));
  if (unknown.length > 0) throw new UnknownPredictionError(unknown);
  return list.map(({ prediction_id: own, request_id: requestId, row_index: rowIndex = 0 }) =>
    requestId === undefined
      ? (own as string)
      : (found.get(keyOf({ requestId, rowIndex }))?.[0]?.predictionId as string),
  );
}

const isoTime = (millis: number): string => new Date(millis).toISOString();

/** POST /feedback, and what the variants of an experiment come to by it. */
export function registerFeedbackRoutes(
  app: FastifyInstance,
  deps: {
    readonly models: ModelServer;
    readonly feedback: FeedbackStores;
    readonly deadLetters?: Pick<DeadLetterWriter, 'write'>;
    readonly clock: Clock;
    readonly metrics: Registry;
  },
): void {
  const { models, clock } = deps;
  const { predictions, feedback } = deps.feedback;
  const received = new Counter({
    name: 'prediction_feedback_total',
    help: 'Predictions whose outcome was reported',
    registers: [deps.metrics],
  });

  const reporting = { schema: schemas.feedback, config: { access: needsSome('feedback') } };
  app.post<{ Body: FeedbackBody }>('/feedback', reporting, async (request) => {
    const { body } = request;
    const isList = 'feedback' in body;
    const list = isList ? body.feedback : [body];
    const wrong = problemsIn(list, (index) => (isList ? `feedback.${index}.` : ''));
    if (wrong.length > 0) throw new InvalidRequestError(wrong);
    await requireFeedbackScope(request, list);
    const receivedAtMs = clock.now();
    const ids = await namedPredictions(predictions, list);
    const rows = list.map(
      ({ row_index: rowIndex = 0, label, value }, at): FeedbackRow => ({
        ...{ predictionId: ids[at] as string, rowIndex, value, receivedAtMs },
        label: label === undefined ? undefined : String(label),
      }),
    );
    // An outage is the caller's to wait for; what the store refuses is refused alone.
    const rejected = await writeInHalves(rows, (part) => feedback.write(part));
    const accepted = rows.length - rejected.length;
    received.inc(accepted);
    if (rejected.length === 0) return { accepted };
    const timestamp = new Date(receivedAtMs).toISOString();
    await deps.deadLetters?.write(
      rejected.map(({ value, reason }) => ({
        ...{ payload: JSON.stringify(value), reason, stage: 'serving.feedback', attempt: 1, timestamp },
      })),
    );
    const problems = rejected.map(({ value, reason }) => ({
      field: `feedback.${rows.indexOf(value)}`,
      problem: reason,
    }));
    if (accepted === 0) throw new InvalidRequestError(problems);
    return { accepted, rejected: problems.map(({ field, problem }) => `${field} ${problem}`) };
  });

  /** A key for some models may send outcomes of their predictions alone: whose a request is, the predictions say. */
  const requireFeedbackScope = async (request: FastifyRequest, list: readonly ReportedOutcome[]): Promise<void> => {
    if (hasScope(request, 'feedback', '*')) return;
    const ids = [...new Set(list.map(({ prediction_id: own, request_id: callers }) => (own ?? callers) as string))];
    const modelsOf = await predictions.modelsOfRequests(ids);
    for (const id of ids) {
      const names = modelsOf.get(id) ?? [];
      // The same answer for a prediction of another model and for one that does not exist.
      if (names.length === 0 || !names.every((name) => hasScope(request, 'feedback', name))) {
        throw new ForbiddenFeedbackError(id);
      }
    }
  };

  /** As it is running, or ran last. @throws {@link UnknownExperimentError} */
  const experimentOf = async (model: string, name: string | undefined): Promise<Experiment> => {
    const running = models.routingOf(model).routing.experiment;
    if (running !== undefined && (name === undefined || running.name === name)) return running;
    for (const { state } of await models.routingHistory(model, 1_000)) {
      const experiment = routingStateSchema.safeParse(state).data?.routing?.experiment;
      if (experiment !== undefined && (name === undefined || experiment.name === name)) return experiment;
    }
    throw new UnknownExperimentError(model, name);
  };

  app.get<{ Params: { name: string }; Querystring: { experiment?: string; outcome?: Outcome } }>(
    '/models/:name/results',
    { schema: schemas.results, config: { access: needs(({ name }) => [`feedback:${name}`, 'console:read']) } },
    async ({ params, query }) => {
      const experiment = await experimentOf(params.name, query.experiment);
      const { outcome = experiment.outcome } = query;
      const asked = { model: params.name, experiment: experiment.name, outcome };
      return resultsOf({ ...asked, experiment }, await feedback.experimentOutcomes(asked));
    },
  );
}
