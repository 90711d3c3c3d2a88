import { z } from 'zod';
import { foreignErrors, HEADERS, problems, REQUEST_HEADERS } from '#monitoring/http/routes/api_schemas';
import { OUTCOMES } from '../routing/assignment.ts';
import { routingSchema } from '../routing/routing.ts';
import { examples } from './examples.ts';

// What GET /openapi.json says of requests and answers. It describes; checking is the routes' own business, which is faster and names every mistake.

type Schema = Readonly<Record<string, unknown>>;

const text = { type: 'string' } as const;
const number = { type: 'number' } as const;
const whole = { type: 'integer' } as const;
const truth = { type: 'boolean' } as const;
const listOf = (items: Schema) => ({ type: 'array', items }) as const;
const mapOf = (values: Schema) => ({ type: 'object', additionalProperties: values }) as const;
const nullable = (schema: Schema) => ({ anyOf: [schema, { type: 'null' }] });
const object = (properties: Record<string, Schema>, required: readonly string[] = Object.keys(properties)) => ({
  ...{ type: 'object', properties, required: [...required], additionalProperties: false },
});

const scalar = { anyOf: [text, number, truth, { type: 'null' }] };
/** What a model takes is in its signature, which checks the values. */
const features = { type: 'object', description: 'Values by the name of the column' } as const;
const rowsOf = {
  type: ['object', 'array'],
  description: 'Values by the name of the column, or in the order of the columns',
} as const;
const predictionOf = { anyOf: [text, number, listOf(number)] };
const numbersByName = mapOf(nullable(number));
const freshness = mapOf(nullable(object({ event_time: text, age_ms: number })));
const entityId = { ...text, minLength: 1 } as const;
const modelName = { ...text, description: 'May be left out where one model is served.' };

const ALWAYS = [400, 401, 403, 404, 405, 429, 503] as const;
const WITH_BODY = [...ALWAYS, 413, 415] as const;

const errors = (codes: readonly number[]) =>
  problems(codes, { 409: 'Changed by another caller meanwhile', 503: 'Overloaded, or nothing is ready' });
const openInferenceErrors = (codes: readonly number[]) =>
  foreignErrors(codes, object({ error: text }), examples.openInferenceError);
const mlflowErrors = (codes: readonly number[]) =>
  foreignErrors(codes, object({ error_code: text, message: text }), examples.mlflowError);
const sageMakerErrors = (codes: readonly number[]) =>
  foreignErrors(codes, object({ Message: text }), examples.sageMakerError);
const ok = (schema: Schema, example: unknown, description = 'The answer') => ({
  200: { description, headers: HEADERS, content: { 'application/json': { schema, example } } },
});
const withExamples = (schema: Schema, ...shown: readonly unknown[]) => ({ ...schema, examples: shown });

/** Headers of requests whose answers are waited for. */
const CALL_HEADERS = {
  ...REQUEST_HEADERS,
  properties: {
    ...REQUEST_HEADERS.properties,
    'x-request-timeout-ms': {
      ...{ type: 'number', exclusiveMinimum: 0, maximum: 1e9 },
      description: 'Milliseconds that the answer is waited for',
    },
  },
} as const;

const IN_TIME = 'With the header x-request-timeout-ms, what would come later is not computed, and answered 504.';

const answerer = { model_name: text, model_version: whole, variant: text, request_id: text, latency_ms: number };
const who = {
  ...answerer,
  prediction_id: {
    ...text,
    description: 'Of this answer alone: feedback names it, with row_index for a row of a batch.',
  },
};
const outputs = (one: Schema) => ({ probabilities: one, values: one, distances: one, scores: one });
const EXPLANATION_NEEDS = ['method', 'perturbation', 'scale', 'outputs'];
const explanation = {
  method: { ...text, enum: ['tree_shap', 'kernel_shap'] },
  perturbation: { ...text, enum: ['tree_path_dependent', 'interventional'] },
  background_rows: whole,
  scale: { ...text, enum: ['log_odds', 'probability', 'margin', 'value'] },
  outputs: listOf(object({ output: text, base_value: number, value: number, contributions: mapOf(nullable(number)) })),
};

const OF_PREDICTIONS = [...WITH_BODY, 422, 504];
const PREDICT_ERRORS = errors(OF_PREDICTIONS);

export const predict = {
  summary: 'Scores one row: by its features, or by an entity whose features are looked up',
  description: IN_TIME,
  headers: CALL_HEADERS,
  body: withExamples(
    object(
      {
        model_name: modelName,
        features,
        entity_id: entityId,
        return_probabilities: truth,
        return_freshness: truth,
        explain: truth,
      },
      [],
    ),
    examples.predict,
    examples.predictEntity,
  ),
  response: {
    ...ok(
      object(
        {
          prediction: predictionOf,
          ...outputs(numbersByName),
          threshold: number,
          explanation: object(explanation, EXPLANATION_NEEDS),
          freshness,
          cached: truth,
          ...who,
        },
        ['prediction', ...Object.keys(who)],
      ),
      examples.predicted,
    ),
    ...PREDICT_ERRORS,
  },
};

export const explain = {
  summary: 'Why: what each feature has added to the prediction of a row',
  headers: REQUEST_HEADERS,
  body: withExamples(object({ model_name: modelName, features, entity_id: entityId }, []), examples.explain),
  response: {
    ...ok(
      object({ ...explanation, ...answerer }, [...EXPLANATION_NEEDS, ...Object.keys(answerer)]),
      examples.explained,
    ),
    ...PREDICT_ERRORS,
  },
};

const open = { type: 'object', additionalProperties: true };

export const whyPrediction = {
  summary:
    'Why a logged prediction is what it is: version, features as they were, contributions, and the same computed again',
  params: {
    type: 'object',
    properties: { id: { ...text, minLength: 1, maxLength: 128, examples: [examples.whyPrediction.prediction_id] } },
    required: ['id'],
  },
  querystring: object({ row: { ...whole, minimum: 0, description: 'Of a batch; 0 without it' } }, []),
  response: {
    ...ok(
      object({
        ...{ prediction_id: text, request_id: text, row_index: whole, time: text, version: whole, prediction: text },
        ...{ variant: nullable(text), experiment: nullable(text), outputs: numbersByName, entity: nullable(text) },
        ...{ rows: whole, other_answers: whole, model: open, chosen_by: open, threshold: nullable(open) },
        ...{ features: listOf(open), explanation: nullable(open), problem: nullable(text) },
        ...{ recomputed: nullable(open), equal: nullable(truth), difference: nullable(text) },
        ...{ feedback: nullable(open), neighbours: listOf(open) },
      }),
      examples.whyPrediction,
    ),
    ...errors(ALWAYS),
  },
};

/** @param maxRows - of a request */
export const batchOf = (maxRows: number) => ({
  summary: 'Scores many rows: objects, arrays in the order of the columns, or entities; or rows as lines of JSON',
  description:
    'As application/x-ndjson, each line is the features of a row, and a line comes back for each; model_name and return_probabilities are in the query then.',
  headers: CALL_HEADERS,
  querystring: object({ model_name: text, return_probabilities: { ...text, enum: ['true', 'false'] } }, []),
  body: withExamples(
    object(
      {
        model_name: modelName,
        instances: { ...listOf(rowsOf), minItems: 1, maxItems: maxRows },
        entity_ids: { ...listOf(entityId), minItems: 1, maxItems: maxRows },
        return_probabilities: truth,
        return_freshness: truth,
      },
      [],
    ),
    examples.batch,
    examples.batchOfEntities,
  ),
  response: {
    ...ok(
      object(
        {
          predictions: listOf(predictionOf),
          ...outputs(listOf(numbersByName)),
          thresholds: listOf(number),
          freshness: listOf(freshness),
          count: whole,
          variants: listOf(text),
          model_versions: listOf(whole),
          ...who,
        },
        ['predictions', 'count', ...Object.keys(who)],
      ),
      examples.batchPredicted,
    ),
    ...PREDICT_ERRORS,
  },
});

const follow = { type: 'object', additionalProperties: true };
const status = {
  name: text,
  variant: text,
  ready: truth,
  version: whole,
  follows: follow,
  rejected: object({ version: whole, reason: text }),
};
const STATUS_NEEDS = ['name', 'variant', 'ready', 'follows'];

export const listModels = {
  summary: 'The served models and their versions',
  response: {
    ...ok(object({ models: listOf(object(status, STATUS_NEEDS)) }), { models: [examples.model] }),
    ...errors([401, 403, 405, 429]),
  },
};

const nameOfModel = { ...text, minLength: 1, examples: [examples.model.name] };
const name = { type: 'object', properties: { name: nameOfModel }, required: ['name'] };

export const oneModel = {
  summary: 'One served model, with its columns',
  params: name,
  response: {
    ...ok(
      object({ ...status, signature: follow, variants: listOf(object(status, STATUS_NEEDS)) }, STATUS_NEEDS),
      examples.modelWithColumns,
    ),
    ...errors(ALWAYS),
  },
};

const routing = z.toJSONSchema(routingSchema, { io: 'input', target: 'draft-7', unrepresentable: 'any' });
const { $schema: _, ...routingBody } = routing as Schema & { readonly $schema?: unknown };
const routingStatus = object({ model: text, revision: whole, routing: follow, shares: mapOf(number), canary: follow }, [
  'model',
  'revision',
  'routing',
]);

const reason = { ...text, minLength: 1, description: 'Why; kept in the history' } as const;
const stage = { ...text, enum: ['None', 'Staging', 'Production', 'Archived'] };
const modelVersion = object({
  ...{ name: text, version: whole, stage, aliases: listOf(text), createdAtMs: number, description: text, runId: text },
  ...{ tags: mapOf(text), metrics: mapOf(number) },
});

const versionOfModel = {
  type: 'object',
  properties: { name: nameOfModel, version: { type: 'integer', minimum: 1, maximum: 999_999_999, examples: [2] } },
  required: ['name', 'version'],
};

export const listVersions = {
  summary: 'Every version of a model in the registry, with stage, aliases, metrics and tags',
  params: name,
  response: { ...ok(object({ versions: listOf(modelVersion) }), { versions: [examples.version] }), ...errors(ALWAYS) },
};

export const moveVersion = {
  summary: 'Moves a version to another stage, through the gates',
  params: versionOfModel,
  body: withExamples(
    object({ stage: { ...text, enum: ['Staging', 'Production', 'Archived'] }, reason, approvedBy: text }, [
      'stage',
      'reason',
    ]),
    examples.moveVersion,
  ),
  response: { ...ok(modelVersion, examples.version), ...errors([...WITH_BODY, 409]) },
};

export const getRouting = {
  summary: 'How requests for a model are assigned to its versions',
  params: name,
  response: { ...ok(routingStatus, examples.routing), ...errors(ALWAYS) },
};

export const putRouting = {
  summary: 'Deals the requests for a model otherwise: experiment, canary, shadow',
  params: name,
  body: withExamples(
    object({ routing: { ...routingBody, type: ['object', 'null'] }, reason, revision: { ...whole, minimum: 0 } }, [
      'routing',
      'reason',
    ]),
    examples.changeRouting,
  ),
  response: { ...ok(routingStatus, examples.routing), ...errors([...WITH_BODY, 409]) },
};

export const routingHistory = {
  summary: 'Every change of a model’s routing: by whom and why, the newest first',
  params: name,
  querystring: object({ limit: { type: 'integer', minimum: 1, maximum: 1_000, default: 100 } }, []),
  response: {
    ...ok(
      object({
        changes: listOf(object({ model: text, revision: whole, atMs: number, by: text, reason: text, state: follow })),
      }),
      examples.routingHistory,
    ),
    ...errors(ALWAYS),
  },
};

const told = {
  prediction_id: { ...text, minLength: 1, maxLength: 128 },
  request_id: { ...text, minLength: 1, maxLength: 128 },
  // An `integer` of the store.
  row_index: { type: 'integer', minimum: 0, maximum: 2 ** 31 - 1 },
  label: { type: ['string', 'number', 'boolean'] },
  value: number,
};
const feedbackOf = object(told, []);

export const feedback = {
  summary: 'How predictions turned out: labels, or values such as 1 for success; the newest word counts',
  description: 'Each names its prediction by prediction_id, or by a request_id that one answer alone has.',
  body: withExamples(
    { anyOf: [feedbackOf, object({ feedback: { ...listOf(feedbackOf), minItems: 1, maxItems: 10_000 } })] },
    examples.feedback,
    examples.feedbackOfMany,
  ),
  response: { ...ok(object({ accepted: whole }), { accepted: 1 }), ...errors([...WITH_BODY, 409]) },
};

const interval = listOf(number);
const comparison = object({
  ...{ difference: number, interval, pValue: number },
  sequential: object({ interval, pValue: number }),
});

export const results = {
  summary: 'What the variants of an experiment come to: means, differences, and how sure they are',
  params: name,
  querystring: object({ experiment: text, outcome: { ...text, enum: [...OUTCOMES] } }, []),
  response: {
    ...ok(
      object(
        {
          ...{ model: text, experiment: text, outcome: text, winner: text },
          variants: listOf(
            object(
              {
                ...{ variant: text, entities: number, predictions: number, outcomes: number },
                ...{ mean: number, standardError: number, comparison },
              },
              ['variant', 'entities', 'predictions', 'outcomes'],
            ),
          ),
          sampleRatio: object({ pValue: number, mismatch: truth }),
        },
        ['model', 'experiment', 'outcome', 'variants'],
      ),
      examples.results,
    ),
    ...errors(ALWAYS),
  },
};

const tensor = object({ name: text, datatype: text, shape: listOf(whole), data: listOf({}), parameters: follow }, [
  'name',
  'datatype',
  'shape',
]);
const metadata = listOf(object({ name: text, datatype: text, shape: listOf(whole) }));
const readiness = (summary: string, errorsOf: typeof openInferenceErrors) => ({
  summary,
  response: {
    ...ok(object({ ready: truth }), { ready: true }),
    ...errorsOf([405]),
    503: {
      description: 'Not ready',
      headers: HEADERS,
      content: { 'application/json': { schema: object({ ready: truth }), example: { ready: false } } },
    },
  },
});
const modelParams = {
  type: 'object',
  properties: { name: nameOfModel, version: { ...text, minLength: 1, examples: ['1'] } },
  required: ['name'],
};

const allStatistics = {
  summary: 'Open Inference Protocol: what all models have computed since the process began',
  response: {
    ...ok(object({ model_stats: listOf(follow) }), { model_stats: [] }),
    ...openInferenceErrors([401, 403, 405, 429]),
  },
};

export const protocol = {
  allStatistics,
  server: {
    summary: 'Open Inference Protocol: what this server is',
    response: {
      ...ok(object({ name: text, version: text, extensions: listOf(text) }), examples.server),
      ...openInferenceErrors([401, 403, 405, 429]),
    },
  },
  live: {
    summary: 'Open Inference Protocol: alive',
    response: { ...ok(object({ live: truth }), { live: true }), ...openInferenceErrors([405]) },
  },
  ready: readiness('Open Inference Protocol: ready', openInferenceErrors),
  ping: readiness('SageMaker: ready', sageMakerErrors),
  model: {
    summary: 'Open Inference Protocol: inputs and outputs of a model',
    params: modelParams,
    response: {
      ...ok(
        object({ name: text, versions: listOf(text), platform: text, inputs: metadata, outputs: metadata }),
        examples.modelMetadata,
      ),
      ...openInferenceErrors(ALWAYS),
    },
  },
  modelReady: {
    summary: 'Open Inference Protocol: whether a model is ready',
    params: modelParams,
    response: { ...ok(object({ name: text, ready: truth }), examples.modelReady), ...openInferenceErrors(ALWAYS) },
  },
  modelConfig: {
    summary: 'Open Inference Protocol: inputs and outputs of a model, as Triton writes its configuration',
    params: modelParams,
    response: {
      ...ok(follow, { name: 'tiny', platform: 'onnx_onnxruntime', input: [], output: [] }),
      ...openInferenceErrors(ALWAYS),
    },
  },
  statistics: {
    params: modelParams,
    summary: 'Open Inference Protocol: what the versions of a model have computed since the process began',
    response: { ...ok(object({ model_stats: listOf(follow) }), { model_stats: [] }), ...openInferenceErrors(ALWAYS) },
  },
  repository: {
    summary: 'Open Inference Protocol: the models that are served, and their state',
    body: withExamples({ type: ['object', 'null'], properties: { ready: truth } }, {}),
    response: {
      ...ok(listOf(object({ name: text, version: text, state: text, reason: text })), [
        { name: 'fraud_detector', version: '1', state: 'READY', reason: '' },
      ]),
      ...openInferenceErrors(WITH_BODY),
    },
  },
  loadModel: {
    summary: 'Open Inference Protocol: loads what is in production under a name, and answers when it is ready',
    params: modelParams,
    body: withExamples({ ...follow, type: ['object', 'null'] }, {}),
    response: { ...ok(follow, {}), ...openInferenceErrors([...WITH_BODY, 409]) },
  },
  unloadModel: {
    summary: 'Open Inference Protocol: frees a model that was loaded on demand',
    params: modelParams,
    body: withExamples({ ...follow, type: ['object', 'null'] }, {}),
    response: { ...ok(follow, {}), ...openInferenceErrors([...WITH_BODY, 409]) },
  },
  infer: {
    summary: 'Open Inference Protocol: scores rows, a tensor for each column or one of all',
    params: modelParams,
    headers: CALL_HEADERS,
    body: withExamples(
      object(
        {
          id: { ...text, minLength: 1, maxLength: 128 },
          parameters: follow,
          inputs: listOf(tensor),
          outputs: listOf(object({ name: text, parameters: follow }, ['name'])),
        },
        ['inputs'],
      ),
      examples.infer,
    ),
    response: {
      ...ok(
        object({ model_name: text, model_version: text, id: text, parameters: follow, outputs: listOf(tensor) }),
        examples.inferred,
      ),
      ...openInferenceErrors(OF_PREDICTIONS),
    },
  },
};

export const invocations = {
  summary: 'MLflow: scores dataframe_split, dataframe_records, instances or inputs',
  headers: CALL_HEADERS,
  body: withExamples(
    object(
      {
        dataframe_split: object({ columns: listOf(text), index: listOf({}), data: listOf(listOf(scalar)) }, ['data']),
        dataframe_records: listOf(features),
        instances: listOf({ anyOf: [features, listOf(scalar)] }),
        inputs: { anyOf: [listOf({ anyOf: [features, listOf(scalar)] }), mapOf(listOf(scalar))] },
        // Clients of MLflow send null where they have none.
        params: { ...follow, type: ['object', 'null'] },
      },
      [],
    ),
    examples.dataframeSplit,
    examples.dataframeRecords,
  ),
  response: {
    ...ok(object({ predictions: listOf({ anyOf: [text, number, numbersByName] }) }), examples.invoked),
    ...mlflowErrors(OF_PREDICTIONS),
  },
};

export const endpointInvocations = {
  ...invocations,
  summary: 'SageMaker: scores rows as /invocations does, with the model of this name',
  params: name,
  response: { ...invocations.response, ...sageMakerErrors(OF_PREDICTIONS) },
};

const v1Params = { type: 'object', properties: { name: nameOfModel }, required: ['name'] };

export const kserve = {
  version: {
    summary: 'MLflow: the version of the server',
    response: {
      200: {
        description: 'The version',
        headers: HEADERS,
        content: { 'text/plain': { schema: text, example: '0.1.0' } },
      },
      ...errors([401, 403, 405, 429]),
    },
  },
  models: {
    summary: 'KServe, protocol 1: the served models',
    response: {
      ...ok(object({ models: listOf(text) }), { models: [examples.model.name] }),
      ...openInferenceErrors([401, 403, 405, 429]),
    },
  },
  model: {
    summary: 'KServe, protocol 1: whether a model is ready',
    params: v1Params,
    response: { ...ok(object({ name: text, ready: truth }), examples.modelReady), ...openInferenceErrors(ALWAYS) },
  },
  predict: {
    ...invocations,
    summary: 'KServe, protocol 1: scores instances; the name is followed by :predict',
    params: v1Params,
    response: { ...invocations.response, ...openInferenceErrors(OF_PREDICTIONS) },
  },
};
