import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { requireScope } from '#connectors/http/access';
import { Histogram, LATENCY_BUCKETS_SECONDS, type Registry } from '#monitoring/metrics';
import { InvalidRequestError } from '../errors.ts';
import { listOf } from '../runtime/answered_rows.ts';
import { Explainer } from '../runtime/explainer.ts';
import type { Predicted } from '../runtime/interpret.ts';
import type { ActiveModel } from '../runtime/model_slot.ts';
import type { Features, Freshness, Predictor, Row } from '../runtime/predictor.ts';
import { type BatchBody, batchParts, MIXED } from './batch.ts';
import { callOf, tellStages } from './calls.ts';
import {
  checkBody,
  checkRow,
  describeAnswer,
  idsOf,
  outputsOf,
  PREDICTION_ID,
  type PredictBody,
  requestIdOf,
  thresholdsOf,
} from './requests.ts';
import { scoreLines } from './row_lines.ts';
import { ScannedBody, scanBody } from './scanned_body.ts';
import * as schemas from './schemas.ts';
import { traceStages } from './traces.ts';

export interface PredictSettings {
  readonly maxBatchRows: number;
  readonly explainBudget: number;
  readonly serverTiming: boolean;
}

/** Rows of one model that are ready to be run: scanned, or parsed and encoded. */
interface Prepared extends Pick<ScannedBody, 'active' | 'input' | 'rows' | 'isSingle' | 'wantsProbabilities'> {
  readonly wantsExplanation?: boolean;
  readonly freshness?: Freshness | readonly Freshness[] | undefined;
}

type Taken = Pick<Histogram.Internal<'route'>, 'observe'>;

const PREDICT_KEYS = new Set([
  ...['model_name', 'features', 'entity_id', 'return_probabilities', 'return_freshness', 'explain'],
]);
const EXPLAIN_KEYS = new Set(['model_name', 'features', 'entity_id']);
const BATCH_KEYS = new Set(['model_name', 'instances', 'entity_ids', 'return_probabilities', 'return_freshness']);
const LINES = 'application/x-ndjson';
const nowhere = (): string => '';

/** POST /predict, POST /predict/batch, POST /explain. */
export async function registerPredictRoutes(
  app: FastifyInstance,
  { predictor, metrics }: { readonly predictor: Predictor; readonly metrics: Registry },
  settings: PredictSettings,
): Promise<void> {
  const seconds = new Histogram({
    name: 'prediction_latency_seconds',
    help: 'From a request read to its answer ready',
    labelNames: ['route'],
    buckets: LATENCY_BUCKETS_SECONDS,
    registers: [metrics],
  });
  // Looked up once, not for each request.
  const ofPredict = seconds.labels({ route: '/predict' });
  const ofBatch = seconds.labels({ route: '/predict/batch' });
  const explainer = new Explainer({ evaluations: settings.explainBudget });

  const rowOf = async (active: ActiveModel, body: PredictBody): Promise<Row> => {
    const { features, entity_id: entity, return_freshness: wantsFreshness } = body;
    if (entity === undefined) return { features: features as Features, entity: undefined };
    const [row] = await predictor.lookUp(active, [entity], features ?? {}, wantsFreshness === true);
    return row as Row;
  };

  /** The one row that a parsed body is about, and who answers it. */
  const readRow = async (body: PredictBody, keys: ReadonlySet<string>) => {
    checkRow(checkBody(body, keys));
    const active = await predictor.choose(body.model_name, { entity: body.entity_id, features: body.features });
    const row = await rowOf(active, body);
    return { active, row, input: predictor.encode(active, [row], nowhere) };
  };

  // What most callers send is read without making objects of it.
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    const scanned = scan(body, predictor, settings.maxBatchRows);
    if (scanned === undefined) void parse(request, body.toString('utf8'), done);
    else done(null, scanned);
  });
  app.addContentTypeParser(LINES, (_, payload, done) => done(null, payload));

  const answer = async (
    prepared: Prepared,
    request: FastifyRequest,
    reply: FastifyReply,
    startedMs: number,
    taken: Taken,
  ) => {
    const { active, input, rows, isSingle, wantsProbabilities, wantsExplanation, freshness } = prepared;
    requireScope(request, 'predict', active.name);
    const { span } = request;
    const call = callOf(request, settings.serverTiming || span?.isRecording() === true, startedMs);
    const known = isSingle ? predictor.recall(active, input) : undefined;
    const inferred = known ?? (await predictor.infer(active, input, rows.count, call));
    const ids = idsOf(requestIdOf(request));
    const answered = predictor.finish(inferred, ids, rows);
    // Put together without copies: this is done for every request.
    const body: Record<string, unknown> = {};
    if (isSingle) body.prediction = answered.prediction(0);
    else body.predictions = answered.predictions();
    if (wantsProbabilities || inferred.by.threshold !== undefined) {
      const predicted = answered.all();
      if (wantsProbabilities) Object.assign(body, outputsOf(inferred.by, predicted, isSingle));
      Object.assign(body, thresholdsOf(predicted, isSingle));
    }
    if (wantsExplanation === true) body.explanation = await explainer.explain(active, input);
    if (freshness !== undefined) body.freshness = freshness;
    if (known !== undefined) body.cached = true;
    if (!isSingle) body.count = rows.count;
    const latencyMs = performance.now() - startedMs;
    taken.observe(latencyMs / 1_000);
    describeAnswer(body, inferred.by, ids, latencyMs);
    if (span !== undefined && call?.timing !== undefined) {
      span.setAttributes({ 'headwater.model': inferred.by.name, 'headwater.model_version': inferred.by.version });
      traceStages(span, call.timing, performance.now());
    }
    return settings.serverTiming && call?.timing !== undefined ? tellStages(reply, call.timing, body) : body;
  };

  app.post<{ Body: PredictBody | ScannedBody }>('/predict', { schema: schemas.predict }, async (request, reply) => {
    const startedMs = performance.now();
    if (request.body instanceof ScannedBody) {
      if (request.body.isSingle) return answer(request.body, request, reply, startedMs, ofPredict);
      throw new InvalidRequestError('instances are not known here: send "features", or post to /predict/batch');
    }
    const { body } = request;
    const { active, row, input } = await readRow(body, PREDICT_KEYS);
    // No spreading here either.
    const prepared: Prepared = {
      active,
      rows: listOf([row]),
      input,
      isSingle: true,
      wantsProbabilities: body.return_probabilities === true,
      wantsExplanation: body.explain === true,
      freshness: body.return_freshness === true ? row.freshness : undefined,
    };
    return answer(prepared, request, reply, startedMs, ofPredict);
  });

  const toExplain = async (given: PredictBody | ScannedBody) => {
    if (given instanceof ScannedBody) {
      if (given.isSingle) return given;
      throw new InvalidRequestError('send one row: "features", or "entity_id"');
    }
    return readRow(given, EXPLAIN_KEYS);
  };

  app.post<{ Body: PredictBody | ScannedBody }>('/explain', { schema: schemas.explain }, async (request) => {
    const startedMs = performance.now();
    const { active, input } = await toExplain(request.body);
    requireScope(request, 'predict', active.name);
    const explanation = await explainer.explain(active, input);
    const latencyMs = performance.now() - startedMs;
    seconds.observe({ route: '/explain' }, latencyMs / 1_000);
    return describeAnswer({ ...explanation }, active, { requestId: requestIdOf(request) }, latencyMs);
  });

  /** Entities of an experiment or canary, each by its own version. */
  const answerMixed = async (request: FastifyRequest, body: BatchBody, startedMs: number) => {
    const ids = idsOf(requestIdOf(request));
    const wantsProbabilities = body.return_probabilities === true;
    const parts = await batchParts(predictor, body, settings.maxBatchRows);
    const answered: { predicted: Predicted; by: ActiveModel; freshness: Freshness | undefined }[] = [];
    for (const { active, rows, indices } of parts) {
      requireScope(request, 'predict', active.name);
      const input = predictor.encode(active, rows, (index) => `entity_ids.${indices[index]}.`);
      const inferred = await predictor.infer(active, input, rows.length, callOf(request, false, startedMs));
      for (const [at, predicted] of predictor.finish(inferred, ids, listOf(rows), indices).all().entries()) {
        answered[indices[at] as number] = { predicted, by: inferred.by, freshness: rows[at]?.freshness };
      }
    }
    const [first] = answered as [(typeof answered)[number]];
    const all = answered.map(({ predicted }) => predicted);
    const latencyMs = performance.now() - startedMs;
    ofBatch.observe(latencyMs / 1_000);
    const mixed = {
      predictions: all.map(({ prediction }) => prediction),
      ...(wantsProbabilities ? outputsOf(first.by, all, false) : {}),
      ...thresholdsOf(all, false),
      ...(body.return_freshness === true ? { freshness: answered.map(({ freshness }) => freshness) } : {}),
      count: all.length,
      variants: answered.map(({ by }) => by.variant),
      model_versions: answered.map(({ by }) => by.version),
    };
    return describeAnswer(mixed, { ...first.by, variant: MIXED }, ids, latencyMs);
  };

  app.post<{ Body: BatchBody | ScannedBody | Readable; Querystring: Readonly<Record<string, string>> }>(
    '/predict/batch',
    { schema: schemas.batch },
    async (request, reply) => {
      const startedMs = performance.now();
      const { body } = request;
      if (body instanceof ScannedBody) {
        if (!body.isSingle) return answer(body, request, reply, startedMs, ofBatch);
        throw new InvalidRequestError('features are not known here: send "instances", or post to /predict');
      }
      if (body instanceof Readable) {
        const active = await predictor.choose(request.query.model_name);
        requireScope(request, 'predict', active.name);
        const wantsProbabilities = request.query.return_probabilities === 'true';
        const ids = idsOf(requestIdOf(request));
        const lines = scoreLines(predictor, active, body, { ids, wantsProbabilities });
        reply.headers({ [PREDICTION_ID]: ids.predictionId, 'x-request-id': ids.requestId });
        return reply.type(LINES).send(Readable.from(lines));
      }
      checkBody(body, BATCH_KEYS);
      if (predictor.isDealt(body.model_name) && body.entity_ids !== undefined) {
        return answerMixed(request, body, startedMs);
      }
      const [{ active, rows }] = await batchParts(predictor, body, settings.maxBatchRows);
      const prepared = {
        ...{ active, rows: listOf(rows), isSingle: false },
        input: predictor.encode(active, rows, (index) => `instances.${index}.`),
        wantsProbabilities: body.return_probabilities === true,
        freshness: body.return_freshness === true ? rows.map(({ freshness }) => freshness ?? {}) : undefined,
      };
      return answer(prepared, request, reply, startedMs, ofBatch);
    },
  );
}

function scan(body: Buffer, predictor: Predictor, maxRows: number): ScannedBody | undefined {
  try {
    const scanned = scanBody(body, (name) => predictor.activeForRows(name), maxRows);
    if (scanned !== undefined) predictor.countDealt(scanned.active);
    return scanned;
  } catch {
    // A model that is not there is told of when the request is answered.
    return undefined;
  }
}
