import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Histogram, LATENCY_BUCKETS_SECONDS, type Registry } from '#monitoring/metrics';
import { InvalidRequestError } from '../errors.ts';
import { Explainer } from '../runtime/explainer.ts';
import type { Predicted } from '../runtime/interpret.ts';
import type { ActiveModel } from '../runtime/model_server.ts';
import type { Features, Predictor, Row } from '../runtime/predictor.ts';
import { checkBody, checkRow, describeAnswer, isObject, outputsOf, type PredictBody, requestIdOf } from './requests.ts';
import { ScannedBody, scanBody } from './scanned_body.ts';

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
export async function registerPredictRoutes(
  app: FastifyInstance,
  { predictor, metrics }: { readonly predictor: Predictor; readonly metrics: Registry },
  settings: { readonly maxBatchRows: number; readonly explainBudget: number },
): Promise<void> {
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

  // What most callers send is read without making objects of it.
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, text: string, done) => {
    const scanned = scan(text, predictor, settings.maxBatchRows);
    if (scanned === undefined) void parse(request, text, done);
    else done(null, scanned);
  });

  const answerScanned = async (scanned: ScannedBody, request: FastifyRequest, route: string) => {
    const startedMs = performance.now();
    const { active, input, rows, wantsProbabilities } = scanned;
    const output = await predictor.infer(active, input, rows.length);
    const requestId = requestIdOf(request);
    const predicted = predictor.finish(active, requestId, rows, output);
    const latencyMs = performance.now() - startedMs;
    seconds.observe({ route }, latencyMs / 1_000);
    const { isSingle } = scanned;
    return {
      ...(isSingle
        ? { prediction: (predicted[0] as Predicted).prediction }
        : { predictions: predicted.map(({ prediction }) => prediction) }),
      ...(wantsProbabilities ? outputsOf(active, predicted, isSingle) : {}),
      ...(isSingle ? {} : { count: rows.length }),
      ...describeAnswer(active, requestId, latencyMs),
    };
  };

  app.post<{ Body: PredictBody | ScannedBody }>(
    '/predict',
    { schema: { summary: 'Scores one row: by its features, or by an entity whose features are looked up' } },
    async (request) => {
      if (request.body instanceof ScannedBody) {
        if (request.body.isSingle) return answerScanned(request.body, request, '/predict');
        throw new InvalidRequestError('instances are not known here: send "features", or post to /predict/batch');
      }
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

  const toExplain = async (given: PredictBody | ScannedBody) => {
    if (given instanceof ScannedBody) {
      if (given.isSingle) return given;
      throw new InvalidRequestError('send one row: "features", or "entity_id"');
    }
    const body = checkBody(given, EXPLAIN_KEYS);
    checkRow(body);
    const active = predictor.activeFor(body.model_name, body.entity_id);
    return { active, input: predictor.encode(active, [await rowOf(active, body)], nowhere) };
  };

  app.post<{ Body: PredictBody | ScannedBody }>(
    '/explain',
    { schema: { summary: 'Why: what each feature has added to the prediction of a row' } },
    async (request) => {
      const startedMs = performance.now();
      const { active, input } = await toExplain(request.body);
      const explanation = await explainer.explain(active, input);
      const latencyMs = performance.now() - startedMs;
      seconds.observe({ route: '/explain' }, latencyMs / 1_000);
      return { ...explanation, ...describeAnswer(active, requestIdOf(request), latencyMs) };
    },
  );

  app.post<{ Body: BatchBody | ScannedBody }>(
    '/predict/batch',
    { schema: { summary: 'Scores many rows: objects, arrays in the order of the columns, or entities' } },
    async (request) => {
      if (request.body instanceof ScannedBody) {
        if (!request.body.isSingle) return answerScanned(request.body, request, '/predict/batch');
        throw new InvalidRequestError('features are not known here: send "instances", or post to /predict');
      }
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

function scan(text: string, predictor: Predictor, maxRows: number): ScannedBody | undefined {
  try {
    return scanBody(text, (name) => predictor.activeFor(name), maxRows);
  } catch {
    // A model that is not there is told of when the request is answered.
    return undefined;
  }
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
