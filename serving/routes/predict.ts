import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { FeatureReader } from '#feature_store/retrieval/feature_reader';
import { requestFields } from '#feature_store/retrieval/feature_vector';
import type { Clock } from '#kernel/time';
import { Counter, Histogram, LATENCY_BUCKETS_SECONDS, type Registry } from '#monitoring/metrics';
import { DEFAULT_THRESHOLD, type ModelSignature, type Task } from '#registry/model_package';
import type { ColumnProblem } from '#registry/signature_encoder';
import { InvalidFeaturesError, InvalidRequestError, UnknownEntityError } from '../errors.ts';
import type { PredictionLog } from '../prediction_log.ts';
import { RowBudget } from '../runtime/micro_batcher.ts';
import type { ActiveModel, ModelServer } from '../runtime/model_server.ts';

export interface PredictDeps {
  readonly models: ModelServer;
  readonly features: FeatureReader;
  readonly predictions: PredictionLog;
  readonly clock: Clock;
  readonly metrics: Registry;
}

type Features = Readonly<Record<string, unknown>>;

interface PredictBody {
  readonly model_name?: string;
  readonly features?: Features;
  readonly entity_id?: string;
  readonly return_probabilities?: boolean;
}

interface BatchBody {
  readonly model_name?: string;
  readonly instances?: readonly (Features | readonly unknown[])[];
  readonly entity_ids?: readonly string[];
  readonly return_probabilities?: boolean;
}

/** A row to predict: its features, and whose they are when they were looked up. */
interface Row {
  readonly features: Features;
  readonly entity: string | undefined;
}

interface Predicted {
  readonly prediction: string | number;
  /** By class: probabilities, distances to the centres, or the anomaly score. */
  readonly outputs?: Readonly<Record<string, number>>;
}

const PREDICT_KEYS = new Set(['model_name', 'features', 'entity_id', 'return_probabilities']);
const BATCH_KEYS = new Set(['model_name', 'instances', 'entity_ids', 'return_probabilities']);
/** Experiments come with a later version; until then every answer is the version in production. */
const VARIANT = 'production';

/** What the outputs are called in answers. */
const OUTPUTS_OF: Readonly<Record<Task, string>> = {
  binary_classification: 'probabilities',
  multiclass_classification: 'probabilities',
  regression: 'values',
  clustering: 'distances',
  anomaly_detection: 'scores',
};

/** POST /predict and POST /predict/batch. */
export function registerPredictRoutes(
  app: FastifyInstance,
  deps: PredictDeps,
  settings: { maxBatchRows: number; maxPendingRows: number },
): void {
  const { models, features: reader, predictions, clock } = deps;
  const registers = [deps.metrics];
  const answered = new Counter({
    name: 'predictions_total',
    help: 'Rows answered',
    labelNames: ['model', 'version', 'variant'],
    registers,
  });
  const seconds = new Histogram({
    name: 'prediction_latency_seconds',
    help: 'From a request read to its answer ready',
    labelNames: ['route'],
    buckets: LATENCY_BUCKETS_SECONDS,
    registers,
  });
  const budget = new RowBudget(settings.maxPendingRows);

  const activeFor = (name: string | undefined): ActiveModel => {
    const chosen = name ?? models.onlyName;
    if (chosen === undefined) throw new InvalidRequestError('model_name is required: several models are served here');
    return models.active(chosen);
  };

  /** The entities' features from the online store and on demand, those given on top. */
  const lookUp = async (active: ActiveModel, entities: readonly string[], given: Features): Promise<Row[]> => {
    const { featureService, inputs } = active.model.signature;
    const service = featureService === undefined ? undefined : reader.find(featureService.service);
    if (service === undefined) {
      const why =
        featureService === undefined
          ? 'names no feature service'
          : `names ${featureService.service}, which is not defined here`;
      throw new InvalidRequestError(`model "${active.name}" ${why}: send "features" instead of an entity`);
    }
    const request = requestFields(service, given);
    const vectors = await reader.read(
      service,
      entities.map((entity) => ({ entity, request })),
    );
    const columns = new Set(inputs.map(({ name }) => name));
    const overrides = Object.fromEntries(
      Object.entries(given).filter(([name]) => columns.has(name) || request[name] === undefined),
    );
    return vectors.map(({ entity, values, isKnown }) => {
      if (!isKnown) throw new UnknownEntityError(entity, service.signature.service);
      const wanted = Object.fromEntries(inputs.map(({ name }) => [name, values[name]]));
      return { features: { ...wanted, ...overrides }, entity };
    });
  };

  const predict = async (
    active: ActiveModel,
    rows: readonly Row[],
    prefix: (index: number) => string,
  ): Promise<Float32Array> => {
    const { encoder } = active.model;
    const input = new Float32Array(rows.length * encoder.width);
    const problems: ColumnProblem[] = [];
    for (let index = 0; index < rows.length; index += 1) {
      const found = encoder.encode((rows[index] as Row).features, input, index * encoder.width);
      if (found !== undefined) {
        for (const { field, problem } of found) problems.push({ field: `${prefix(index)}${field}`, problem });
      }
    }
    if (problems.length > 0) throw new InvalidFeaturesError(problems.slice(0, 100));
    budget.take(rows.length);
    try {
      return await active.batcher.infer(input, rows.length);
    } finally {
      budget.give(rows.length);
    }
  };

  const finish = (active: ActiveModel, requestId: string, rows: readonly Row[], output: Float32Array): Predicted[] => {
    const { outputWidth, signature } = active.model;
    const predictedAtMs = clock.now();
    answered.inc({ model: active.name, version: String(active.version), variant: VARIANT }, rows.length);
    return rows.map(({ features, entity }, index) => {
      const predicted = interpret(signature, output, index * outputWidth);
      predictions.add({
        requestId,
        rowIndex: index,
        modelName: active.name,
        modelVersion: active.version,
        entityKey: entity,
        features,
        prediction: String(predicted.prediction),
        probabilities: predicted.outputs,
        predictedAtMs,
      });
      return predicted;
    });
  };

  app.post<{ Body: PredictBody }>(
    '/predict',
    { schema: { summary: 'Scores one row: by its features, or by an entity whose features are looked up' } },
    async (request) => {
      const startedMs = performance.now();
      const body = checkBody(request.body, PREDICT_KEYS);
      const { features, entity_id: entity } = body;
      if (features !== undefined && !isObject(features)) throw new InvalidRequestError('features must be an object');
      if (entity !== undefined && typeof entity !== 'string')
        throw new InvalidRequestError('entity_id must be a string');
      if (features === undefined && entity === undefined) {
        throw new InvalidRequestError('send "features", or "entity_id" to have them looked up');
      }
      const active = activeFor(body.model_name);
      const rows =
        entity === undefined
          ? [{ features: features as Features, entity: undefined }]
          : await lookUp(active, [entity], features ?? {});
      const output = await predict(active, rows, () => '');
      const requestId = requestIdOf(request);
      const [predicted] = finish(active, requestId, rows, output) as [Predicted];
      const latencyMs = performance.now() - startedMs;
      seconds.observe({ route: '/predict' }, latencyMs / 1_000);
      return {
        prediction: predicted.prediction,
        ...(body.return_probabilities === true && predicted.outputs !== undefined
          ? { [OUTPUTS_OF[active.model.signature.task]]: predicted.outputs }
          : {}),
        ...describe(active, requestId, latencyMs),
      };
    },
  );

  app.post<{ Body: BatchBody }>(
    '/predict/batch',
    { schema: { summary: 'Scores many rows: objects, arrays in the order of the columns, or entities' } },
    async (request) => {
      const startedMs = performance.now();
      const body = checkBody(request.body, BATCH_KEYS);
      const active = activeFor(body.model_name);
      const rows = await batchRows(active, body, settings.maxBatchRows, lookUp);
      const output = await predict(active, rows, (index) => `instances.${index}.`);
      const requestId = requestIdOf(request);
      const predicted = finish(active, requestId, rows, output);
      const latencyMs = performance.now() - startedMs;
      seconds.observe({ route: '/predict/batch' }, latencyMs / 1_000);
      return {
        predictions: predicted.map(({ prediction }) => prediction),
        ...(body.return_probabilities === true && predicted[0]?.outputs !== undefined
          ? { [OUTPUTS_OF[active.model.signature.task]]: predicted.map(({ outputs }) => outputs) }
          : {}),
        count: rows.length,
        ...describe(active, requestId, latencyMs),
      };
    },
  );
}

type LookUp = (active: ActiveModel, entities: readonly string[], given: Features) => Promise<Row[]>;

async function batchRows(active: ActiveModel, body: BatchBody, maxRows: number, lookUp: LookUp): Promise<Row[]> {
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
    return lookUp(active, entities, {});
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

const isObject = (value: unknown): value is Features =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function checkBody<T extends PredictBody | BatchBody>(body: T, keys: ReadonlySet<string>): T {
  if (!isObject(body)) throw new InvalidRequestError('the body must be a JSON object');
  const unknown = Object.keys(body).filter((key) => !keys.has(key));
  if (unknown.length > 0) {
    throw new InvalidRequestError(`${unknown.join(', ')} is not known here; known: ${[...keys].join(', ')}`);
  }
  if (body.model_name !== undefined && typeof body.model_name !== 'string') {
    throw new InvalidRequestError('model_name must be a string');
  }
  return body;
}

/** The caller's own id when it sent a sensible one. */
function requestIdOf(request: FastifyRequest): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
}

function describe({ name, version }: ActiveModel, requestId: string, latencyMs: number) {
  return {
    model_name: name,
    model_version: version,
    variant: VARIANT,
    request_id: requestId,
    latency_ms: Math.round(latencyMs * 1_000) / 1_000,
  };
}

function interpret({ task, classes, threshold }: ModelSignature, output: Float32Array, offset: number): Predicted {
  const first = output[offset] as number;
  if (task === 'regression') return { prediction: first };
  if (task === 'anomaly_detection') {
    const isAnomaly = first >= (threshold ?? DEFAULT_THRESHOLD);
    return { prediction: classes[isAnomaly ? 1 : 0] as string, outputs: { [classes[1] as string]: first } };
  }
  const outputs: Record<string, number> = {};
  // The nearest centre, or the most probable class.
  const sign = task === 'clustering' ? -1 : 1;
  let best = 0;
  for (let index = 0; index < classes.length; index += 1) {
    const value = output[offset + index] as number;
    outputs[classes[index] as string] = value;
    if (sign * value > sign * (output[offset + best] as number)) best = index;
  }
  if (task === 'binary_classification') {
    best = (output[offset + 1] as number) >= (threshold ?? DEFAULT_THRESHOLD) ? 1 : 0;
  }
  return { prediction: classes[best] as string, outputs };
}
