import { isUtf8 } from 'node:buffer';
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { requireScope } from '#connectors/http/access';
import { UNKNOWN_FIELD } from '#kernel/field_problems';
import { UnsupportedMediaTypeError } from '#monitoring/errors';
import { checkCharset, parseJsonBody } from '#monitoring/http/json_body';
import { needsSome } from '#monitoring/http/routes/route_access';
import { type LatencyCounts, LatencyHistogram } from '#monitoring/latency_histogram';
import type { Registry } from '#monitoring/metrics';
import { InvalidRequestError } from '../errors.ts';
import { Explainer } from '../explain/explainer.ts';
import { listOf } from '../inference/answered_rows.ts';
import type { Features, Freshness, Predictor, Row } from '../inference/predictor.ts';
import type { Predicted } from '../models/interpret.ts';
import type { ActiveModel } from '../models/model_slot.ts';
import { callOf, tellStages } from './calls.ts';
import {
  describeAnswer,
  idsOf,
  outputsOf,
  PREDICTION_ID,
  type PredictBody,
  requestIdOf,
  thresholdsOf,
} from './requests.ts';
import { type BatchBody, batchParts, MIXED } from './rows/batch.ts';
import { scoreLines } from './rows/row_lines.ts';
import { ScannedBody, scanBody } from './rows/scanned_body.ts';
import * as schemas from './schemas.ts';
import { traceStages } from './traces.ts';

export interface PredictSettings {
  readonly maxBatchRows: number;
  readonly explainBudget: number;
  readonly serverTiming: boolean;
  /** Longest line of NDJSON, bytes. */
  readonly maxLineBytes: number;
}

/** Rows of one model that are ready to be run: scanned, or parsed and encoded. */
interface Prepared extends Pick<ScannedBody, 'active' | 'input' | 'rows' | 'isSingle' | 'wantsProbabilities'> {
  readonly wantsExplanation?: boolean;
  readonly freshness?: Freshness | readonly Freshness[] | undefined;
}

const LINES = 'application/x-ndjson';
const nowhere = (): string => '';
/** Rows that were scanned, and lines, which are read while they are answered. */
const isRead = (body: unknown): boolean => body instanceof ScannedBody || body instanceof Readable;

/** POST /predict, POST /predict/batch, POST /explain. */
export async function registerPredictRoutes(
  app: FastifyInstance,
  { predictor, metrics }: { readonly predictor: Predictor; readonly metrics: Registry },
  settings: PredictSettings,
): Promise<void> {
  const seconds = new LatencyHistogram({
    name: 'prediction_latency_seconds',
    help: 'From a request read to its answer ready',
    labelNames: ['route'],
    registers: [metrics],
  });
  const ofPredict = seconds.countsOf({ route: '/predict' });
  const ofBatch = seconds.countsOf({ route: '/predict/batch' });
  const ofExplain = seconds.countsOf({ route: '/explain' });
  const explainer = new Explainer({ evaluations: settings.explainBudget });

  const rowOf = async (active: ActiveModel, body: PredictBody): Promise<Row> => {
    const { features, entity_id: entity, return_freshness: wantsFreshness } = body;
    if (entity === undefined) return { features: features as Features, entity: undefined };
    const [row] = await predictor.lookUp(active, [entity], features ?? {}, wantsFreshness === true);
    return row as Row;
  };

  /** The one row that a parsed body is about, and who answers it. What the caller may not use is neither looked for nor loaded. */
  const readRow = async (request: FastifyRequest, body: PredictBody, action: string) => {
    // Lines are read by batches alone.
    if ((body as unknown) instanceof Readable) {
      throw new UnsupportedMediaTypeError(request.headers['content-type'], 'application/json');
    }
    if (body.features === undefined && body.entity_id === undefined) {
      throw new InvalidRequestError([{ field: 'features', problem: 'is required, or entity_id to look them up' }]);
    }
    requireScope(request, action, predictor.nameOf(body.model_name));
    const active = await predictor.choose(body.model_name, { entity: body.entity_id, features: body.features });
    const row = await rowOf(active, body);
    return { active, row, input: predictor.encode(active, [row], nowhere) };
  };

  // What most callers send is read without making objects of it.
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer | string) => {
      checkCharset(request);
      const bytes = body as Buffer;
      return scan(bytes, predictor, settings.maxBatchRows) ?? parseJsonBody(request, bytes);
    },
  );
  app.addContentTypeParser(LINES, async (request: FastifyRequest, payload: Readable) => {
    checkCharset(request);
    return payload;
  });

  /** Answers rows whose model the caller may use. */
  const answer = async (
    prepared: Prepared,
    request: FastifyRequest,
    reply: FastifyReply,
    startedMs: number,
    taken: LatencyCounts,
  ) => {
    const { active, input, rows, isSingle, wantsProbabilities, wantsExplanation, freshness } = prepared;
    if (wantsExplanation === true) requireScope(request, 'explain', active.name);
    const { span } = request;
    const call = callOf(request, settings.serverTiming || span?.isRecording() === true, startedMs);
    const known = isSingle ? predictor.recall(active, input) : undefined;
    const inferred = known ?? (await predictor.infer(active, input, rows.count, call, rows));
    predictor.checkFinite(inferred, rows.count);
    const ids = idsOf(requestIdOf(request));
    const answered = predictor.finish(inferred, ids, rows);
    // Put together without copies: this is done for every request.
    const body: Record<string, unknown> = {};
    if (isSingle) body.prediction = answered.prediction(0);
    else body.predictions = answered.predictions();
    if (wantsProbabilities === true || inferred.by.threshold !== undefined) {
      const predicted = answered.all();
      if (wantsProbabilities === true) Object.assign(body, outputsOf(inferred.by, predicted, isSingle));
      Object.assign(body, thresholdsOf(predicted, isSingle));
    }
    if (wantsExplanation === true) body.explanation = await explainer.explain(active, input);
    if (freshness !== undefined) body.freshness = freshness;
    if (known !== undefined) body.cached = true;
    if (!isSingle) body.count = rows.count;
    const latencyMs = performance.now() - startedMs;
    taken.observeMs(latencyMs);
    describeAnswer(body, inferred.by, ids, latencyMs);
    if (span !== undefined && call?.timing !== undefined) {
      span.setAttributes({ 'headwater.model': inferred.by.name, 'headwater.model_version': inferred.by.version });
      traceStages(span, call.timing, performance.now());
    }
    return settings.serverTiming && call?.timing !== undefined ? tellStages(reply, call.timing, body) : body;
  };

  /** Rows that were scanned, before anything else was asked of their model. */
  const answerScanned = (
    scanned: ScannedBody,
    request: FastifyRequest,
    reply: FastifyReply,
    startedMs: number,
    taken: LatencyCounts,
  ) => {
    requireScope(request, 'predict', scanned.active.name);
    predictor.countAssigned(scanned.active);
    return answer(scanned, request, reply, startedMs, taken);
  };

  const predicting = { access: needsSome('predict'), bodyReader: isRead };
  const onePredicted = { schema: schemas.predict, config: predicting };
  app.post<{ Body: PredictBody | ScannedBody }>('/predict', onePredicted, async (request, reply) => {
    const startedMs = performance.now();
    if (request.body instanceof ScannedBody) {
      if (request.body.isSingle) return answerScanned(request.body, request, reply, startedMs, ofPredict);
      throw new InvalidRequestError([
        { field: 'instances', problem: `${UNKNOWN_FIELD}: send features, or post to /predict/batch` },
      ]);
    }
    const { body } = request;
    const { active, row, input } = await readRow(request, body, 'predict');
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

  const toExplain = async (request: FastifyRequest, given: PredictBody | ScannedBody) => {
    if (given instanceof ScannedBody) {
      const { active, isSingle, wantsProbabilities } = given;
      if (!isSingle)
        throw new InvalidRequestError([{ field: 'instances', problem: `${UNKNOWN_FIELD}: send features` }]);
      if (wantsProbabilities !== undefined) {
        throw new InvalidRequestError([{ field: 'return_probabilities', problem: UNKNOWN_FIELD }]);
      }
      requireScope(request, 'explain', active.name);
      predictor.countAssigned(active);
      return given;
    }
    return readRow(request, given, 'explain');
  };

  const explained = { schema: schemas.explain, config: { access: needsSome('explain'), bodyReader: isRead } };
  app.post<{ Body: PredictBody | ScannedBody }>('/explain', explained, async (request) => {
    const startedMs = performance.now();
    const { active, input } = await toExplain(request, request.body);
    const explanation = await explainer.explain(active, input);
    const latencyMs = performance.now() - startedMs;
    ofExplain.observeMs(latencyMs);
    return describeAnswer({ ...explanation }, active, { requestId: requestIdOf(request) }, latencyMs);
  });

  /** Entities of an experiment or canary, each by its own version. */
  const answerMixed = async (request: FastifyRequest, body: BatchBody, startedMs: number) => {
    const ids = idsOf(requestIdOf(request));
    const wantsProbabilities = body.return_probabilities === true;
    const parts = await batchParts(predictor, body);
    const answered: { predicted: Predicted; by: ActiveModel; freshness: Freshness | undefined }[] = [];
    for (const { active, rows, indices } of parts) {
      const input = predictor.encode(active, rows, (index) => `entity_ids.${indices[index]}.`);
      const inferred = await predictor.infer(
        active,
        input,
        rows.length,
        callOf(request, false, startedMs),
        listOf(rows),
      );
      predictor.checkFinite(inferred, rows.length);
      for (const [at, predicted] of predictor.finish(inferred, ids, listOf(rows), indices).all().entries()) {
        answered[indices[at] as number] = { predicted, by: inferred.by, freshness: rows[at]?.freshness };
      }
    }
    const [first] = answered as [(typeof answered)[number]];
    const all = answered.map(({ predicted }) => predicted);
    const latencyMs = performance.now() - startedMs;
    ofBatch.observeMs(latencyMs);
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
    { schema: schemas.batchOf(settings.maxBatchRows), config: predicting },
    async (request, reply) => {
      const startedMs = performance.now();
      const { body } = request;
      if (!(body instanceof Readable)) {
        for (const name in request.query) {
          throw new InvalidRequestError([
            { field: `query.${name}`, problem: `is for ${LINES}: send it in the body of JSON` },
          ]);
        }
      }
      if (body instanceof ScannedBody) {
        if (!body.isSingle) return answerScanned(body, request, reply, startedMs, ofBatch);
        throw new InvalidRequestError([
          { field: 'features', problem: `${UNKNOWN_FIELD}: send instances, or post to /predict` },
        ]);
      }
      if (body instanceof Readable) {
        requireScope(request, 'predict', predictor.nameOf(request.query.model_name));
        const active = await predictor.choose(request.query.model_name);
        const wantsProbabilities = request.query.return_probabilities === 'true';
        const { maxLineBytes } = settings;
        const ids = idsOf(requestIdOf(request));
        const lines = scoreLines(predictor, active, body, { ids, wantsProbabilities, maxLineBytes });
        reply.header(PREDICTION_ID, ids.predictionId);
        return reply.type(LINES).send(Readable.from(lines));
      }
      requireScope(request, 'predict', predictor.nameOf(body.model_name));
      if (predictor.isSplit(body.model_name) && body.entity_ids !== undefined) {
        return answerMixed(request, body, startedMs);
      }
      const [{ active, rows }] = await batchParts(predictor, body);
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
  // Strings are compared as bytes: what is not UTF-8 is refused by who parses.
  if (!isUtf8(body)) return undefined;
  try {
    return scanBody(body, (name) => predictor.activeForRows(name), maxRows);
  } catch {
    // An unknown model is reported when the request is answered.
    return undefined;
  }
}
