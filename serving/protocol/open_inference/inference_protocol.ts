import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { hasScope } from '#connectors/http/access';
import { UnsupportedMediaTypeError } from '#monitoring/errors';
import { checkCharset } from '#monitoring/http/json_body';
import { mediaTypeOf } from '#monitoring/http/media_type';
import { needs, needsSome, open } from '#monitoring/http/routes/route_access';
import type { TensorSpec } from '#registry/graphs/typed_tensor';
import { InvalidRequestError, UnknownServedVersionError } from '../../errors.ts';
import type { ModelServer } from '../../inference/model_server.ts';
import type { VersionStatistics } from '../../inference/model_statistics.ts';
import type { Predictor } from '../../inference/predictor.ts';
import type { ActiveModel } from '../../models/model_slot.ts';
import { DATATYPES, jsonOf } from '../../models/tensor_json.ts';
import type { Subject } from '../../routing/assignment.ts';
import { NO_EXPERIMENT } from '../../routing/model_router.ts';
import { callOf } from '../calls.ts';
import { idsOf, requestIdOf } from '../requests.ts';
import { protocol } from '../schemas.ts';
import { subjectOf } from '../subject.ts';
import { type Inference, inferRequested } from './infer.ts';
import { BINARY_HEADER, type InferRequest, readInferRequest } from './infer_request.ts';
import { bytesOf } from './tensor_codec.ts';

// The Open Inference Protocol, version 2, over REST (KServe, Triton, MLServer), with Triton's extensions for binary tensors, statistics and the model repository.

export interface ModelParams {
  readonly name: string;
  readonly version?: string;
}

export const SERVER = {
  name: 'headwater',
  version: '0.1.0',
  extensions: ['binary_tensor_data', 'model_repository', 'statistics', 'model_configuration'],
};
const PLATFORM = 'onnx_onnxruntime';
const BINARY = 'application/octet-stream';
const JSON_TYPE = 'application/json; charset=utf-8';

export interface ProtocolDeps {
  readonly models: ModelServer;
  readonly predictor: Predictor;
}

/** Returns a version that answers. @throws {@link UnknownServedVersionError} and what says that the model does not */
export async function readyVersion(models: ModelServer, { name, version }: ModelParams): Promise<ActiveModel> {
  await models.ensure(name);
  const isAny = version === undefined || version === '';
  const ready = models.ready(name, isAny ? undefined : versionNumber(version));
  if (ready !== undefined) return ready;
  const answering = models.status().flatMap((each) => (each.name === name && each.ready ? [each.version] : []));
  throw new UnknownServedVersionError(name, String(version), answering);
}

/** Returns NaN, which no version has, for what is no decimal number as versions are written. */
const versionNumber = (text: string): number => (/^[1-9]\d{0,14}$/.test(text) ? Number(text) : Number.NaN);

const described = ({ name, type, dims, isAnyRank }: TensorSpec) => ({
  name,
  datatype: DATATYPES[type],
  // Clients expect a list: any number of dimensions is one of any size.
  shape: isAnyRank === true ? [-1] : dims.map((dim) => (typeof dim === 'number' ? dim : -1)),
});

/** Returns what a model takes and gives: the inputs and outputs of its graph. */
export const metadataOf = ({ name, version, model }: ActiveModel) => ({
  name,
  versions: [String(version)],
  platform: PLATFORM,
  inputs: model.spec.inputs.map(described),
  outputs: model.spec.outputs.map(described),
});

const configured = (spec: TensorSpec) => {
  const { name, datatype, shape } = described(spec);
  return { name, data_type: `TYPE_${datatype === 'BYTES' ? 'STRING' : datatype}`, dims: shape };
};

/** Answers inference requests of the protocol, over whichever transport. */
export async function answerInfer(
  { models, predictor }: ProtocolDeps,
  params: ModelParams,
  request: InferRequest,
  settings: Omit<Parameters<typeof inferRequested>[3], 'ids' | 'entity'> & {
    readonly requestId: string;
    readonly subject: Subject;
  },
): Promise<Inference & { readonly id: string; readonly predictionId: string }> {
  const { requestId, subject, ...rest } = settings;
  const isAny = params.version === undefined || params.version === '';
  if (!isAny && subject.variant !== undefined) {
    throw new InvalidRequestError(`version ${params.version} and variant ${subject.variant} are named: send one`);
  }
  const active = await (isAny ? predictor.choose(params.name, subject) : readyVersion(models, params));
  const id = request.id ?? requestId;
  const ids = idsOf(id);
  const inference = await inferRequested(predictor, active, request, { ...rest, ids, entity: subject.entity });
  return { ...inference, id, predictionId: ids.predictionId };
}

export function registerInferenceProtocol(
  app: FastifyInstance,
  deps: ProtocolDeps,
  { maxBatchRows }: { readonly maxBatchRows: number },
): void {
  const { models, predictor } = deps;
  // Probes of the Open Inference Protocol and SageMaker have no keys.
  const health = { access: open() };
  const ofModel = { access: needs(({ name }) => `predict:${name}`) };
  app.get('/v2', { schema: protocol.server, config: { access: needsSome('predict') } }, async () => SERVER);
  app.get('/v2/health/live', { schema: protocol.live, config: health }, async () => ({ live: true }));
  const tellReady = async (_: FastifyRequest, reply: FastifyReply) => {
    const ready = models.waiting.length === 0;
    return reply.code(ready ? 200 : 503).send({ ready });
  };
  app.get('/v2/health/ready', { schema: protocol.ready, config: health }, tellReady);
  app.get('/ping', { schema: protocol.ping, config: health }, tellReady);

  for (const path of ['/v2/models/:name', '/v2/models/:name/versions/:version']) {
    app.get<{ Params: ModelParams }>(path, { schema: protocol.model, config: ofModel }, async ({ params }) =>
      metadataOf(await readyVersion(models, params)),
    );
    app.get<{ Params: ModelParams }>(
      `${path}/ready`,
      { schema: protocol.modelReady, config: ofModel },
      async ({ params }) => {
        const { name } = await readyVersion(models, params);
        return { name, ready: true };
      },
    );
    app.get<{ Params: ModelParams }>(
      `${path}/config`,
      { schema: protocol.modelConfig, config: ofModel },
      async ({ params }) => {
        const { name, model } = await readyVersion(models, params);
        const { inputs, outputs } = model.spec;
        return {
          ...{ name, platform: PLATFORM, backend: 'onnxruntime', max_batch_size: 0 },
          ...{ input: inputs.map(configured), output: outputs.map(configured) },
        };
      },
    );
    app.get<{ Params: ModelParams }>(
      `${path}/stats`,
      { schema: protocol.statistics, config: ofModel },
      async ({ params }) => {
        const { name, version } = await readyVersion(models, params);
        const own = predictor.statistics.of(name);
        const named = params.version === undefined ? own : own.filter((each) => each.version === version);
        return { model_stats: named.map(statisticsOf) };
      },
    );
  }
  const everyModel = { schema: protocol.allStatistics, config: { access: needsSome('predict') } };
  app.get('/v2/models/stats', everyModel, async (request) => ({
    model_stats: predictor.statistics
      .of(undefined)
      .filter(({ name }) => hasScope(request, 'predict', name))
      .map(statisticsOf),
  }));
  registerRepository(app, models);
  // With a way of its own to read bodies.
  app.register(async (scope) => registerInfer(scope, deps, maxBatchRows));
}

function registerInfer(app: FastifyInstance, deps: ProtocolDeps, maxBatchRows: number): void {
  const ofModel = { access: needs(({ name }) => `predict:${name}`), bodyReader: 'bytes' } as const;
  // Tensors as bytes: clients of the protocol send them without a content type.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    /^application\/(octet-stream|json|[\w.-]+\+json|x-binary)/,
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer | string) => {
      if (mediaTypeOf(request.headers['content-type']).type !== BINARY) checkCharset(request);
      return body;
    },
  );
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async (request: FastifyRequest, body: Buffer | string) => {
    const header = request.headers['content-type'];
    if (header !== undefined) throw new UnsupportedMediaTypeError(header, `application/json (UTF-8), ${BINARY}`);
    return body;
  });
  for (const path of ['/v2/models/:name', '/v2/models/:name/versions/:version']) {
    app.post<{ Params: ModelParams; Body: Buffer | undefined }>(
      `${path}/infer`,
      { schema: protocol.infer, config: ofModel },
      async (request, reply) => {
        const read = readInferRequest(request.body, request.headers[BINARY_HEADER] as string | undefined);
        const call = callOf(request, false, performance.now());
        const requestId = requestIdOf(request);
        const subject = subjectOf(request, read.parameters);
        const answer = await answerInfer(deps, request.params, read, { maxBatchRows, call, requestId, subject });
        return sendInference(reply, answer, read);
      },
    );
  }
}

/** Writes an answer: JSON, and after it the bytes of the outputs that are to be binary. */
function sendInference(
  reply: FastifyReply,
  { by, outputs, id, predictionId }: Awaited<ReturnType<typeof answerInfer>>,
  request: InferRequest,
): FastifyReply {
  const binary: Buffer[] = [];
  const isBinary = new Map(request.outputs?.map((output) => [output.name, output.isBinary]));
  const written = outputs.map((tensor) => {
    const head = `{"name":${JSON.stringify(tensor.name)},"datatype":"${DATATYPES[tensor.type]}","shape":[${tensor.dims}]`;
    if (!(isBinary.get(tensor.name) ?? request.isBinary)) return `${head},"data":${jsonOf(tensor)}}`;
    const bytes = bytesOf(tensor);
    binary.push(bytes);
    return `${head},"parameters":{"binary_data_size":${bytes.length}}}`;
  });
  const head = {
    model_name: by.name,
    model_version: String(by.version),
    id,
    parameters: { prediction_id: predictionId, ...(by.variant === NO_EXPERIMENT ? {} : { variant: by.variant }) },
  };
  const text = `${JSON.stringify(head).slice(0, -1)},"outputs":[${written}]}`;
  if (binary.length === 0) return reply.type(JSON_TYPE).send(text);
  const json = Buffer.from(text);
  return reply
    .header(BINARY_HEADER, json.length)
    .type(BINARY)
    .send(Buffer.concat([json, ...binary]));
}

/** Triton's model repository: what there is, and what is loaded. */
function registerRepository(app: FastifyInstance, models: ModelServer): void {
  const everyModel = { schema: protocol.repository, config: { access: needsSome('predict') } };
  app.post<{ Body: { ready?: boolean } | null | undefined }>('/v2/repository/index', everyModel, async (request) => {
    const { body } = request;
    return models
      .status()
      .filter(({ name }) => hasScope(request, 'predict', name))
      .filter(({ ready }) => body?.ready !== true || ready)
      .map(({ name, version, ready, rejected }) => ({
        name,
        version: String(version ?? rejected?.version ?? ''),
        state: ready ? 'READY' : 'UNAVAILABLE',
        reason: ready ? '' : (rejected?.reason ?? 'none is promoted in the registry'),
      }));
  });
  const changed = { access: needs(({ name }) => `routing:${name}`), ownOriginOnly: true };
  const load = { schema: protocol.loadModel, config: changed };
  app.post<{ Params: ModelParams }>('/v2/repository/models/:name/load', load, async ({ params }) => {
    await models.load(params.name);
    return {};
  });
  const unload = { schema: protocol.unloadModel, config: changed };
  app.post<{ Params: ModelParams }>('/v2/repository/models/:name/unload', unload, async ({ params }) => {
    models.unload(params.name);
    return {};
  });
}

const NS_A_MS = 1e6;

/** Of a version, in the form of Triton's statistics extension; times in nanoseconds. */
export function statisticsOf(sums: VersionStatistics) {
  const of = (count: number, ms: number) => ({ count, ns: Math.round(ms * NS_A_MS) });
  return {
    name: sums.name,
    version: String(sums.version),
    last_inference: sums.lastAtMs,
    inference_count: sums.rows,
    execution_count: sums.requests,
    inference_stats: {
      success: of(sums.requests, sums.requestMs),
      fail: of(sums.failures, sums.failureMs),
      queue: of(sums.requests, sums.queueMs),
      compute_input: of(sums.requests, 0),
      compute_infer: of(sums.requests, sums.inferMs),
      compute_output: of(sums.requests, 0),
    },
    batch_stats: [],
  };
}
