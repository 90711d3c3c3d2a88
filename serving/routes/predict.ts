import type { FastifyInstance } from 'fastify';
import { Histogram, LATENCY_BUCKETS_SECONDS, type Registry } from '#monitoring/metrics';
import { InvalidRequestError } from '../errors.ts';
import { Explainer } from '../runtime/explainer.ts';
import type { ActiveModel } from '../runtime/model_server.ts';
import type { Features, Predicted, Predictor, Row } from '../runtime/predictor.ts';
import { checkBody, checkRow, describeAnswer, isObject, outputsOf, type PredictBody, requestIdOf } from './requests.ts';

interface BatchBody {
  readonly model_name?: string;
  readonly instances?: readonly (Features | readonly unknown[])[];
  readonly entity_ids?: readonly string[];
  readonly return_probabilities?: boolean;
}

const PREDICT_KEYS = new Set(['model_name', 'features', 'entity_id', 'return_probabilities', 'explain']);
const EXPLAIN_KEYS = new Set(['model_name', 'features', 'entity_id']);
const BATCH_KEYS = new Set(['model_name', 'instances', 'entity_ids', 'return_probabilities']);
const nowhere = (): string => '';
const inInstances = (index: number): string => `instances.${index}.`;

/** POST /predict, POST /predict/batch, POST /explain. */
export function registerPredictRoutes(
  app: FastifyInstance,
  { predictor, metrics }: { readonly predictor: Predictor; readonly metrics: Registry },
  settings: { readonly maxBatchRows: number; readonly explainBudget: number },
): void {
  const seconds = new Histogram({
    name: 'prediction_latency_seconds',
    help: 'From a request read to its answer ready',
    labelNames: ['route'],
    buckets: LATENCY_BUCKETS_SECONDS,
    registers: [metrics],
  });
  const explainer = new Explainer({ evaluations: settings.explainBudget });

  const rowOf = async (active: ActiveModel, { features, entity_id: entity }: PredictBody): Promise<Row> => {
    if (entity === undefined) return { features: features as Features, entity: undefined };
    const [row] = await predictor.lookUp(active, [entity], features ?? {});
    return row as Row;
  };

  app.post<{ Body: PredictBody }>(
    '/predict',
    { schema: { summary: 'Scores one row: by its features, or by an entity whose features are looked up' } },
    async (request) => {
      const startedMs = performance.now();
      const body = checkBody(request.body, PREDICT_KEYS);
      checkRow(body);
      const active = predictor.activeFor(body.model_name, body.entity_id);
      const row = await rowOf(active, body);
      const input = predictor.encode(active, [row], nowhere);
      const output = await predictor.infer(active, input, 1);
      const requestId = requestIdOf(request);
      const [predicted] = predictor.finish(active, requestId, [row], output) as [Predicted];
      const explanation = body.explain === true ? { explanation: await explainer.explain(active, input) } : {};
      const latencyMs = performance.now() - startedMs;
      seconds.observe({ route: '/predict' }, latencyMs / 1_000);
      return {
        prediction: predicted.prediction,
        ...(body.return_probabilities === true ? outputsOf(active, [predicted], true) : {}),
        ...explanation,
        ...describeAnswer(active, requestId, latencyMs),
      };
    },
  );

  app.post<{ Body: PredictBody }>(
    '/explain',
    { schema: { summary: 'Why: what each feature has added to the prediction of a row' } },
    async (request) => {
      const startedMs = performance.now();
      const body = checkBody(request.body, EXPLAIN_KEYS);
      checkRow(body);
      const active = predictor.activeFor(body.model_name, body.entity_id);
      const row = await rowOf(active, body);
      const input = predictor.encode(active, [row], nowhere);
      const explanation = await explainer.explain(active, input);
      const latencyMs = performance.now() - startedMs;
      seconds.observe({ route: '/explain' }, latencyMs / 1_000);
      return { ...explanation, ...describeAnswer(active, requestIdOf(request), latencyMs) };
    },
  );

  app.post<{ Body: BatchBody }>(
    '/predict/batch',
    { schema: { summary: 'Scores many rows: objects, arrays in the order of the columns, or entities' } },
    async (request) => {
      const startedMs = performance.now();
      const body = checkBody(request.body, BATCH_KEYS);
      const active = predictor.activeFor(body.model_name);
      const rows = await batchRows(active, body, settings.maxBatchRows, predictor);
      const output = await predictor.infer(active, predictor.encode(active, rows, inInstances), rows.length);
      const requestId = requestIdOf(request);
      const predicted = predictor.finish(active, requestId, rows, output);
      const latencyMs = performance.now() - startedMs;
      seconds.observe({ route: '/predict/batch' }, latencyMs / 1_000);
      return {
        predictions: predicted.map(({ prediction }) => prediction),
        ...(body.return_probabilities === true ? outputsOf(active, predicted, false) : {}),
        count: rows.length,
        ...describeAnswer(active, requestId, latencyMs),
      };
    },
  );
}

async function batchRows(active: ActiveModel, body: BatchBody, maxRows: number, predictor: Predictor): Promise<Row[]> {
  const { instances, entity_ids: entities } = body;
  const list = instances ?? entities;
  if (!Array.isArray(list) || (instances !== undefined && entities !== undefined)) {
    throw new InvalidRequestError('send "instances" or "entity_ids", as an array');
  }
  if (list.length === 0) throw new InvalidRequestError('there is nothing to score: the array is empty');
  if (list.length > maxRows) throw new InvalidRequestError(`${list.length} rows are too many: send ${maxRows} at most`);
  if (entities !== undefined) {
    const wrong = entities.findIndex((entity) => typeof entity !== 'string');
    if (wrong >= 0) throw new InvalidRequestError(`entity_ids.${wrong} must be a string`);
    return predictor.lookUp(active, entities, {});
  }
  const { inputs } = active.model.signature;
  return (instances as readonly unknown[]).map((instance, index) => {
    if (isObject(instance)) return { features: instance, entity: undefined };
    if (!Array.isArray(instance)) throw new InvalidRequestError(`instances.${index} must be an object or an array`);
    if (instance.length !== inputs.length) {
      throw new InvalidRequestError(
        `instances.${index} has ${instance.length} values; the model has ${inputs.length} columns`,
      );
    }
    return { features: Object.fromEntries(inputs.map(({ name }, at) => [name, instance[at]])), entity: undefined };
  });
}
