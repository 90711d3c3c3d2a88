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

/** Rows that are ready to be run: scanned, or parsed and encoded. */
interface Prepared extends Pick<ScannedBody, 'active' | 'input' | 'rows' | 'isSingle' | 'wantsProbabilities'> {
  readonly wantsExplanation?: boolean;
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

  const answer = async (prepared: Prepared, request: FastifyRequest, route: string, startedMs: number) => {
    const { active, input, rows, isSingle, wantsProbabilities, wantsExplanation } = prepared;
    const output = await predictor.infer(active, input, rows.length);
    const requestId = requestIdOf(request);
    const predicted = predictor.finish(active, requestId, rows, output);
    const explanation = wantsExplanation === true ? { explanation: await explainer.explain(active, input) } : {};
    const latencyMs = performance.now() - startedMs;
    seconds.observe({ route }, latencyMs / 1_000);
    return {
      ...(isSingle
        ? { prediction: (predicted[0] as Predicted).prediction }
        : { predictions: predicted.map(({ prediction }) => prediction) }),
      ...(wantsProbabilities ? outputsOf(active, predicted, isSingle) : {}),
      ...explanation,
      ...(isSingle ? {} : { count: rows.length }),
      ...describeAnswer(active, requestId, latencyMs),
    };
  };

  app.post<{ Body: PredictBody | ScannedBody }>(
    '/predict',
    { schema: { summary: 'Scores one row: by its features, or by an entity whose features are looked up' } },
    async (request) => {
      const startedMs = performance.now();
      if (request.body instanceof ScannedBody) {
        if (request.body.isSingle) return answer(request.body, request, '/predict', startedMs);
        throw new InvalidRequestError('instances are not known here: send "features", or post to /predict/batch');
      }
      const body = checkBody(request.body, PREDICT_KEYS);
      checkRow(body);
      const active = predictor.activeFor(body.model_name, body.entity_id);
      const rows = [await rowOf(active, body)];
      const prepared = {
        ...{ active, rows, input: predictor.encode(active, rows, nowhere), isSingle: true },
        wantsProbabilities: body.return_probabilities === true,
        wantsExplanation: body.explain === true,
      };
      return answer(prepared, request, '/predict', startedMs);
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
      const startedMs = performance.now();
      if (request.body instanceof ScannedBody) {
        if (!request.body.isSingle) return answer(request.body, request, '/predict/batch', startedMs);
        throw new InvalidRequestError('features are not known here: send "instances", or post to /predict');
      }
      const body = checkBody(request.body, BATCH_KEYS);
      const active = predictor.activeFor(body.model_name);
      const rows = await batchRows(active, body, settings.maxBatchRows, predictor);
      const prepared = {
        ...{ active, rows, input: predictor.encode(active, rows, inInstances), isSingle: false },
        wantsProbabilities: body.return_probabilities === true,
      };
      return answer(prepared, request, '/predict/batch', startedMs);
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
