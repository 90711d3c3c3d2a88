import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { hasScope, requireScope } from '#connectors/http/access';
import { decodeUtf8, parseExactJsonBytes } from '#kernel/exact/exact_json';
import { UnsupportedMediaTypeError } from '#monitoring/errors';
import { checkCharset } from '#monitoring/http/json_body';
import { isJsonType, mediaTypeOf } from '#monitoring/http/media_type';
import { needs, needsSome } from '#monitoring/http/routes/route_access';
import type { NamedTensors } from '#registry/graphs/typed_tensor';
import { InvalidRequestError } from '../errors.ts';
import { listOf } from '../inference/answered_rows.ts';
import type { Row } from '../inference/predictor.ts';
import type { ActiveModel } from '../models/model_slot.ts';
import { callOf } from './calls.ts';
import { checkTensors } from './open_inference/infer.ts';
import { type ProtocolDeps, readyVersion, SERVER } from './open_inference/inference_protocol.ts';
import { nestedValues } from './open_inference/tensor_codec.ts';
import { idsOf, PREDICTION_ID, requestIdOf } from './requests.ts';
import { endpointInvocations, invocations, kserve } from './schemas.ts';
import { csvRows, scoringInput } from './scoring_body.ts';
import { subjectOf } from './subject.ts';

// POST /invocations of MLflow and SageMaker containers, /endpoints/NAME/invocations of the SageMaker runtime, /v1/models of KServe.

const CSV = 'text/csv';
const BYTES = 'application/octet-stream';
const TAKEN = 'application/json (UTF-8), text/csv (UTF-8)';
const PREDICT = ':predict';
const inRow = (index: number): string => `row ${index}: `;

interface NamedParams {
  readonly name: string;
}

export async function registerInvocations(
  app: FastifyInstance,
  { models, predictor }: ProtocolDeps,
  { maxBatchRows }: { readonly maxBatchRows: number },
): Promise<void> {
  // Bodies are read once the model is known.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async (_: FastifyRequest, body: Buffer | string) => body);

  const scoreRows = async (request: FastifyRequest, active: ActiveModel, rows: readonly Row[]) => {
    if (rows.length === 0) throw new InvalidRequestError('there is nothing to score: the array is empty');
    if (rows.length > maxBatchRows) {
      throw new InvalidRequestError(`${rows.length} rows are too many: send ${maxBatchRows} at most`);
    }
    const ids = idsOf(requestIdOf(request));
    const call = callOf(request, false, performance.now());
    const { entity } = subjectOf(request);
    const entityKey = predictor.entityKeyOf(active, entity);
    const inferred = await predictor.infer(active, predictor.encode(active, rows, inRow), rows.length, call, entity);
    predictor.checkFinite(inferred, rows.length);
    const predicted = predictor.finish(inferred, ids, listOf(rows, entityKey)).all();
    const isPlain = inferred.by.model.signature.task === 'values';
    const predictions = predicted.map(({ prediction, outputs }) => (isPlain ? prediction : (outputs ?? prediction)));
    return { ids, by: inferred.by, predictions };
  };

  const scoreTensors = async (
    request: FastifyRequest,
    active: ActiveModel,
    tensors: NamedTensors,
    isByRow: boolean,
  ) => {
    checkTensors(active, tensors);
    const rows = Object.values(tensors)[0]?.dims[0] ?? 1;
    if (rows > maxBatchRows) throw new InvalidRequestError(`${rows} rows are too many: send ${maxBatchRows} at most`);
    const ids = idsOf(requestIdOf(request));
    const call = callOf(request, false, performance.now());
    const names = active.model.spec.outputs.map(({ name }) => name);
    const { results, by } = await predictor.inferTensors(active, tensors, names, {
      ...{ ids, call },
      entity: subjectOf(request).entity,
    });
    const values = Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, nestedValues(tensor)]));
    return { ids, by, predictions: isByRow ? byRow(values, rows) : values };
  };

  const score = async (request: FastifyRequest, reply: FastifyReply, name: string | undefined) => {
    requireScope(request, 'predict', predictor.nameOf(name));
    const active = await predictor.choose(name, subjectOf(request));
    const body = request.body as Buffer | undefined;
    const { predictions, ids, by } = await scoreBody(request, active, body);
    reply.header(PREDICTION_ID, ids.predictionId);
    return { predictions, by };
  };

  const scoreBody = (request: FastifyRequest, active: ActiveModel, body: Buffer = Buffer.alloc(0)) => {
    const header = request.headers['content-type'];
    const media = mediaTypeOf(header);
    checkCharset(request);
    if (media.type === CSV) {
      return scoreRows(request, active, csvRows(active.model, decodeUtf8(body)));
    }
    const isJson = header === undefined || media.type === BYTES || isJsonType(media);
    if (!isJson) throw new UnsupportedMediaTypeError(header, TAKEN);
    if (body.length === 0) throw new InvalidRequestError('the body must be a JSON object');
    const input = scoringInput(active.model, parseExactJsonBytes(body));
    return 'rows' in input
      ? scoreRows(request, active, input.rows)
      : scoreTensors(request, active, input.tensors, input.isByRow);
  };

  const some = { access: needsSome('predict') };
  app.post(
    '/invocations',
    { schema: invocations, config: { ...some, bodyReader: 'bytes' } },
    async (request, reply) => {
      const { predictions } = await score(request, reply, undefined);
      return { predictions };
    },
  );
  app.post<{ Params: NamedParams }>(
    '/endpoints/:name/invocations',
    { schema: endpointInvocations, config: { access: needs(({ name }) => `predict:${name}`), bodyReader: 'bytes' } },
    async (request, reply) => {
      const { predictions, by } = await score(request, reply, request.params.name);
      reply.header('x-amzn-invoked-production-variant', by.variant);
      return { predictions };
    },
  );
  // MLflow has its version in plain text.
  app.get('/version', { schema: kserve.version, config: some }, async (_, reply) =>
    reply.type('text/plain; charset=utf-8').send(SERVER.version),
  );

  app.get('/v1/models', { schema: kserve.models, config: some }, async (request) => ({
    models: [...new Set(models.status().map(({ name }) => name))].filter((name) => hasScope(request, 'predict', name)),
  }));
  const own = { access: needs(({ name = '' }) => `predict:${withoutAction(name)}`) };
  app.get<{ Params: NamedParams }>('/v1/models/:name', { schema: kserve.model, config: own }, async ({ params }) => {
    const { name } = await readyVersion(models, params);
    return { name, ready: true };
  });
  app.post<{ Params: NamedParams }>(
    '/v1/models/:name',
    { schema: kserve.predict, config: { ...own, bodyReader: 'bytes' } },
    async (request, reply) => {
      const { name } = request.params;
      if (!name.endsWith(PREDICT)) throw new InvalidRequestError(`post to /v1/models/${withoutAction(name)}${PREDICT}`);
      const { predictions } = await score(request, reply, withoutAction(name));
      return { predictions };
    },
  );
}

/** KServe writes an action behind the name of a model, which itself has no colon. */
const withoutAction = (name: string): string => name.split(':')[0] as string;

/** Outputs as a value for each row: that of the only output, or an object of all. */
function byRow(values: Readonly<Record<string, unknown>>, rows: number): readonly unknown[] {
  const names = Object.keys(values);
  const rowOf = (name: string, row: number): unknown => {
    const all = values[name];
    return Array.isArray(all) && all.length === rows ? all[row] : all;
  };
  const [only] = names as [string];
  if (names.length === 1) return Array.from({ length: rows }, (_, row) => rowOf(only, row));
  return Array.from({ length: rows }, (_, row) => Object.fromEntries(names.map((name) => [name, rowOf(name, row)])));
}
