// Examples of requests and answers in GET /openapi.json; test/unit/cli/openapi.test.ts holds each against its schema.

const name = 'fraud_detector';
const requestId = '5f0c2a8e-3a55-4b8c-8e0e-1d4c1d4c1d4c';
const predictionId = '0b1d4a52-7a8e-4f5e-9a53-6f6f0f6a2c11';
const features = { amount: 120.5, count_1h: 3, merchant_category: 'electronics' };
const answerer = { model_name: name, model_version: 1, variant: 'production', request_id: requestId, latency_ms: 1.2 };
const probabilities = { legitimate: 0.97, fraud: 0.03 };
const model = { name, variant: 'production', ready: true, version: 1, follows: { stage: 'Production' } };
const routing = { canary: { version: 2, steps: [{ share: 0.1, holdMinutes: 30 }] } };
const tensor = { name: 'amount', datatype: 'FP64', shape: [2], data: [120.5, 7] };

const ANSWER = '0198f3c2-7d40-7c11-9a55-3b1f0c1f2a77';

export const examples = {
  whyPrediction: {
    ...{ prediction_id: ANSWER, request_id: 'r-1', row_index: 0, time: '2026-11-28T12:00:00.000Z', version: 3 },
    ...{ prediction: 'fraud', variant: 'production', experiment: null, outputs: { legit: 0.25, fraud: 0.75 } },
    ...{ entity: 'account:a-1', rows: 1, other_answers: 0 },
    model: { name: 'fraud_detector', version: 3, stage: 'Production', run_id: 'a1b2' },
    chosen_by: {
      ...{ how: 'stage', rule: null, change: null },
      reason: 'no experiment and no canary took it: the version that production followed has answered',
    },
    threshold: { value: 0.5, adaptive: false },
    features: [
      {
        ...{ name: 'count_1h', value: 7, hidden: false, contributions: [1.0986] },
        from: { view: 'fraud@1', feature: 'count_1h', on_demand: false },
        stored: {
          ...{ value: 7, equal: true, age_ms: 5_000, event_time: '2026-11-28T11:59:55.000Z' },
          computed_at: '2026-11-28T11:59:55.020Z',
        },
        why: '/why/a-1/count_1h?view=fraud%401&at=2026-11-28T12%3A00%3A00.000Z',
      },
    ],
    explanation: {
      ...{ method: 'tree_shap', perturbation: 'tree_path_dependent', scale: 'log_odds' },
      outputs: [{ output: 'fraud', base_value: 0, value: 1.0986, contributions: { count_1h: 1.0986 } }],
    },
    ...{ problem: null, recomputed: { prediction: 'fraud', outputs: { legit: 0.25, fraud: 0.75 } } },
    ...{ equal: true, difference: null, feedback: null, neighbours: [] },
  },
  predict: { model_name: name, features, return_probabilities: true },
  predictEntity: { model_name: name, entity_id: 'u-1', return_freshness: true },
  predicted: { prediction: 'legitimate', probabilities, threshold: 0.5, ...answerer, prediction_id: predictionId },
  explain: { model_name: name, features },
  explained: {
    method: 'tree_shap',
    perturbation: 'tree_path_dependent',
    scale: 'log_odds',
    outputs: [{ output: 'fraud', base_value: -3.1, value: -3.5, contributions: { amount: -0.5, count_1h: 0.1 } }],
    ...answerer,
  },
  batch: { model_name: name, instances: [features, { amount: 7 }], return_probabilities: true },
  batchOfEntities: { model_name: name, entity_ids: ['u-1', 'u-2'] },
  batchPredicted: {
    predictions: ['legitimate', 'legitimate'],
    probabilities: [probabilities, probabilities],
    count: 2,
    ...answerer,
    prediction_id: predictionId,
  },
  model,
  modelWithColumns: {
    ...model,
    signature: { task: 'binary_classification', inputs: [{ name: 'amount', type: 'double', required: true }] },
  },
  routing: { model: name, revision: 3, routing, shares: { production: 0.9, canary: 0.1 } },
  version: {
    ...{
      name,
      version: 2,
      stage: 'Production',
      aliases: ['champion'],
      createdAtMs: 1_795_867_200_000,
      description: '',
    },
    ...{ tags: {}, metrics: { pr_auc: 0.91 }, runId: '8f3d1c2b' },
  },
  moveVersion: { stage: 'Production', reason: 'better on the newest rows' },
  changeRouting: { routing: null, reason: 'back to what the configuration has', revision: 3 },
  routingHistory: {
    changes: [
      {
        ...{ model: name, revision: 3, atMs: 1_795_867_200_000, by: 'key release', reason: 'try version 2' },
        state: { routing },
      },
    ],
  },
  feedback: { prediction_id: predictionId, label: 'legitimate' },
  feedbackOfMany: { feedback: [{ request_id: 'order-1', row_index: 1, value: 1 }] },
  results: {
    ...{ model: name, experiment: 'thresholds', outcome: 'value' },
    variants: [
      { variant: 'a', entities: 500, predictions: 900, outcomes: 880, mean: 0.21, standardError: 0.01 },
      {
        ...{ variant: 'b', entities: 510, predictions: 910, outcomes: 890, mean: 0.22, standardError: 0.01 },
        comparison: {
          ...{ difference: 0.01, interval: [-0.01, 0.03], pValue: 0.4 },
          sequential: { interval: [-0.03, 0.05], pValue: 1 },
        },
      },
    ],
    sampleRatio: { pValue: 0.7, mismatch: false },
  },
  server: { name: 'headwater', version: '0.1.0', extensions: [] },
  modelMetadata: {
    ...{ name, versions: ['1'], platform: 'onnx_onnxruntime' },
    inputs: [{ name: 'amount', datatype: 'FP64', shape: [-1] }],
    outputs: [{ name: 'prediction', datatype: 'BYTES', shape: [-1] }],
  },
  modelReady: { name, ready: true },
  infer: { id: 'order-1', inputs: [tensor], outputs: [{ name: 'prediction' }] },
  inferred: {
    ...{ model_name: name, model_version: '1', id: 'order-1', parameters: { prediction_id: predictionId } },
    outputs: [{ name: 'prediction', datatype: 'BYTES', shape: [2], data: ['legitimate', 'legitimate'] }],
  },
  dataframeSplit: { dataframe_split: { columns: ['amount', 'count_1h'], data: [[120.5, 3]] } },
  dataframeRecords: { dataframe_records: [features] },
  invoked: { predictions: [probabilities] },
  openInferenceError: { error: 'input amount has 3 values; its shape [2] requires 2' },
  mlflowError: { error_code: 'BAD_REQUEST', message: 'send dataframe_split, dataframe_records, instances or inputs' },
  sageMakerError: { Message: 'send dataframe_split, dataframe_records, instances or inputs' },
} as const;
