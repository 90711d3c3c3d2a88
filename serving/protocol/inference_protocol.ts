import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { requireScope } from '#connectors/http/access';
import { listed } from '#kernel/problem_list';
import { needs, needsSome, open } from '#monitoring/route_access';
import { InvalidRequestError } from '../errors.ts';
import { type AnswerIds, listOf } from '../inference/answered_rows.ts';
import type { ModelServer } from '../inference/model_server.ts';
import type { Features, Predictor, Row } from '../inference/predictor.ts';
import type { ActiveModel } from '../models/model_slot.ts';
import { callOf } from './calls.ts';
import { idsOf, isObject, PREDICTION_ID, requestIdOf } from './requests.ts';
import { endpointInvocations, invocations, protocol } from './schemas.ts';

// The Open Inference Protocol, version 2, over REST (KServe, Triton, MLServer), and MLflow's /invocations: for clients that speak these already.

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly datatype: string;
  readonly data: readonly unknown[];
}

interface InferBody {
  readonly id?: string;
  readonly inputs?: readonly Tensor[];
  readonly outputs?: readonly { readonly name: string }[];
}

interface ModelParams {
  readonly name: string;
  readonly version?: string;
}

const DATATYPES = { double: 'FP64', long: 'INT64', boolean: 'BOOL', string: 'BYTES' } as const;
const PLATFORM = 'onnx_onnxruntime';
/** As the ids of requests in a header. */
const LONGEST_ID = 128;
const inRow = (index: number): string => `row ${index}: `;

export function registerInferenceProtocol(
  app: FastifyInstance,
  { models, predictor }: { readonly models: ModelServer; readonly predictor: Predictor },
  { maxBatchRows }: { readonly maxBatchRows: number },
): void {
  /** @throws {@link InvalidRequestError} for a version that does not answer here */
  const readyOf = async ({ name, version }: ModelParams): Promise<ActiveModel> => {
    await models.ensure(name);
    const ready = models.ready(name, version === undefined ? undefined : versionNumber(version));
    if (ready !== undefined) return ready;
    const answering = models.status().flatMap((each) => (each.name === name && each.ready ? [each.version] : []));
    throw new InvalidRequestError(
      `version ${version} of ${name} does not answer here: version ${answering.join(', ')} does`,
    );
  };
  const infer = async (active: ActiveModel, rows: readonly Row[], request: FastifyRequest, ids: AnswerIds) => {
    if (rows.length > maxBatchRows) {
      throw new InvalidRequestError(`${rows.length} rows are too many: send ${maxBatchRows} at most`);
    }
    const call = callOf(request, false, performance.now());
    const inferred = await predictor.infer(active, predictor.encode(active, rows, inRow), rows.length, call);
    return { ...inferred, predicted: predictor.finish(inferred, ids, listOf(rows)).all() };
  };

  // Probes of the Open Inference Protocol and SageMaker have no keys.
  const health = { access: open() };
  const ofModel = { access: needs(({ name }) => `predict:${name}`) };
  app.get('/v2', { schema: protocol.server, config: { access: needsSome('predict') } }, async () => ({
    name: 'headwater',
    version: '0.1.0',
    extensions: [],
  }));
  app.get('/v2/health/live', { schema: protocol.live, config: health }, async () => ({ live: true }));
  const tellReady = async (_: FastifyRequest, reply: FastifyReply) => {
    const ready = models.waiting.length === 0;
    return reply.code(ready ? 200 : 503).send({ ready });
  };
  app.get('/v2/health/ready', { schema: protocol.ready, config: health }, tellReady);
  app.get('/ping', { schema: protocol.ping, config: health }, tellReady);

  for (const path of ['/v2/models/:name', '/v2/models/:name/versions/:version']) {
    app.get<{ Params: ModelParams }>(path, { schema: protocol.model, config: ofModel }, async ({ params }) => {
      const { name, version, model } = await readyOf(params);
      const { signature, outputWidth } = model;
      return {
        name,
        versions: [String(version)],
        platform: PLATFORM,
        inputs: signature.inputs.map((column) => ({
          name: column.name,
          datatype: DATATYPES[column.type],
          shape: [-1],
        })),
        outputs: [
          { name: 'prediction', datatype: signature.task === 'regression' ? 'FP64' : 'BYTES', shape: [-1] },
          { name: signature.onnx.output, datatype: 'FP32', shape: [-1, outputWidth] },
        ],
      };
    });
    app.get<{ Params: ModelParams }>(
      `${path}/ready`,
      { schema: protocol.modelReady, config: ofModel },
      async ({ params }) => {
        const { name } = await readyOf(params);
        return { name, ready: true };
      },
    );
    app.post<{ Params: ModelParams; Body: InferBody }>(
      `${path}/infer`,
      { schema: protocol.infer, config: ofModel },
      async (request) => {
        const { params } = request;
        const active = await (params.version === undefined ? predictor.choose(params.name) : readyOf(params));
        const { body } = request;
        if (!isObject(body as unknown)) throw new InvalidRequestError('the body must be a JSON object');
        const id = body.id ?? requestIdOf(request);
        if (typeof id !== 'string' || id === '' || id.length > LONGEST_ID) {
          throw new InvalidRequestError(`id must be a string of 1 to ${LONGEST_ID} characters`);
        }
        checkOutputs(body.outputs);
        const rows = rowsOf(active, body.inputs);
        const ids = idsOf(id);
        const { output, predicted } = await infer(active, rows, request, ids);
        const { signature, outputWidth } = active.model;
        const all = [
          {
            name: 'prediction',
            datatype: signature.task === 'regression' ? 'FP64' : 'BYTES',
            shape: [rows.length],
            data: predicted.map(({ prediction }) => prediction),
          },
          {
            name: signature.onnx.output,
            datatype: 'FP32',
            shape: [rows.length, outputWidth],
            data: Array.from(output),
          },
        ];
        // None are named: all of them, as other servers of the protocol have it.
        const named = body.outputs?.length === 0 ? undefined : body.outputs;
        const wanted = named?.map(({ name }) => name) ?? all.map(({ name }) => name);
        const unknown = wanted.filter((name) => all.every((each) => each.name !== name));
        if (unknown.length > 0) {
          throw new InvalidRequestError(
            `there is no output ${listed(unknown)}; there is ${all.map(({ name }) => name).join(', ')}`,
          );
        }
        return {
          ...{ model_name: active.name, model_version: String(active.version), id },
          parameters: { prediction_id: ids.predictionId },
          outputs: all.filter(({ name }) => wanted.includes(name)),
        };
      },
    );
  }

  const invoke = async (request: FastifyRequest, reply: FastifyReply, name: string | undefined) => {
    requireScope(request, 'predict', predictor.nameOf(name));
    const active = await predictor.choose(name);
    const ids = idsOf(requestIdOf(request));
    const { predicted } = await infer(active, mlflowRows(active, request.body), request, ids);
    reply.header(PREDICTION_ID, ids.predictionId);
    return { predictions: predicted.map(({ prediction, outputs }) => outputs ?? prediction) };
  };
  app.post('/invocations', { schema: invocations, config: { access: needsSome('predict') } }, (request, reply) =>
    invoke(request, reply, undefined),
  );
  app.post<{ Params: { name: string } }>(
    '/endpoints/:name/invocations',
    { schema: endpointInvocations, config: ofModel },
    (request, reply) => invoke(request, reply, request.params.name),
  );
}

/** Returns NaN, which no version has, for what is no decimal number as versions are written. */
const versionNumber = (text: string): number => (/^[1-9]\d{0,14}$/.test(text) ? Number(text) : Number.NaN);

/** @throws {@link InvalidRequestError} for what names no outputs */
function checkOutputs(outputs: unknown): void {
  const isNamed = (output: unknown): boolean => isObject(output) && typeof output.name === 'string';
  if (outputs === undefined) return;
  if (Array.isArray(outputs) && outputs.every(isNamed)) {
    refuseRepeated('output', outputs);
    return;
  }
  throw new InvalidRequestError('outputs must be a list of objects with a name');
}

/** @throws {@link InvalidRequestError} for names that come twice: which of them counts would be a guess */
function refuseRepeated(what: string, named: readonly unknown[]): void {
  const seen = new Set<unknown>();
  const repeated = new Set<string>();
  for (const each of named) {
    const name = isObject(each) ? each.name : each;
    if (typeof name === 'string' && seen.has(name)) repeated.add(name);
    seen.add(name);
  }
  if (repeated.size > 0) {
    throw new InvalidRequestError(`${what} ${listed([...repeated])} was sent more than once: send each name once`);
  }
}

/** Rows of tensors: one for each column, or a single one [rows, columns]. */
function rowsOf({ model }: ActiveModel, inputs: InferBody['inputs']): Row[] {
  if (!Array.isArray(inputs) || inputs.length === 0) throw new InvalidRequestError('inputs must be a list of tensors');
  const columns = model.signature.inputs;
  refuseRepeated('input', inputs);
  const tensors = (inputs as readonly Tensor[]).map((tensor) => {
    const { name, shape, data } = isObject(tensor as unknown) ? tensor : ({} as Partial<Tensor>);
    if (typeof name !== 'string' || !Array.isArray(shape) || !Array.isArray(data)) {
      throw new InvalidRequestError('each input needs name, shape, datatype and data');
    }
    if (shape.length === 0 || !shape.every((part) => Number.isInteger(part) && part > 0)) {
      throw new InvalidRequestError(`the shape of input ${name} must be whole numbers above 0, rows first`);
    }
    const flat = data.flat(2) as unknown[];
    const size = shape.reduce((product: number, part: number) => product * part, 1);
    if (flat.length !== size) {
      throw new InvalidRequestError(`input ${name} has ${flat.length} values; its shape [${shape}] wants ${size}`);
    }
    return { name, shape, flat };
  });
  const [first] = tensors as [(typeof tensors)[number]];
  const isWhole = tensors.length === 1 && first.name === model.signature.onnx.input;
  if (isWhole) {
    if (first.shape.length !== 2 || first.shape[1] !== columns.length) {
      throw new InvalidRequestError(`input ${first.name} must have the shape [rows, ${columns.length}]`);
    }
    return Array.from({ length: first.shape[0] as number }, (_, row) => ({
      features: Object.fromEntries(columns.map(({ name }, at) => [name, first.flat[row * columns.length + at]])),
      entity: undefined,
    }));
  }
  const rows = first.flat.length;
  const uneven = tensors.find(({ flat }) => flat.length !== rows);
  if (uneven !== undefined) {
    throw new InvalidRequestError(`input ${uneven.name} has ${uneven.flat.length} rows, ${first.name} has ${rows}`);
  }
  return Array.from({ length: rows }, (_, row) => ({
    features: Object.fromEntries(tensors.map(({ name, flat }) => [name, flat[row]])),
    entity: undefined,
  }));
}

/** The four forms that MLflow's scoring server takes. */
function mlflowRows({ model }: ActiveModel, body: unknown): Row[] {
  if (!isObject(body)) throw new InvalidRequestError('the body must be a JSON object');
  const names = model.signature.inputs.map(({ name }) => name);
  const { dataframe_split: split, dataframe_records: records, instances, inputs } = body;
  const row = (value: unknown, index: number, columns: readonly unknown[]): Row => {
    if (isObject(value)) return { features: value, entity: undefined };
    if (!Array.isArray(value) || value.length !== columns.length) {
      throw new InvalidRequestError(`row ${index} must be an object, or have ${columns.length} values`);
    }
    return { features: Object.fromEntries(columns.map((name, at) => [name, value[at]])), entity: undefined };
  };
  if (isObject(split)) {
    const { columns = names, data } = split as { readonly columns?: readonly unknown[]; readonly data?: unknown };
    if (!Array.isArray(columns) || !columns.every((name) => typeof name === 'string')) {
      throw new InvalidRequestError('columns of dataframe_split must be a list of names');
    }
    refuseRepeated('column', columns);
    if (Array.isArray(data)) return data.map((value, at) => row(value, at, columns));
  }
  const list = records ?? instances ?? inputs;
  if (Array.isArray(list)) return list.map((value, at) => row(value, at, names));
  if (isObject(inputs)) {
    const columns = Object.entries(inputs) as [string, readonly unknown[]][];
    const count = Array.isArray(columns[0]?.[1]) ? columns[0][1].length : 0;
    const uneven = columns.find(([, values]) => !Array.isArray(values) || values.length !== count);
    if (uneven !== undefined) {
      throw new InvalidRequestError(`column ${uneven[0]} of inputs must be a list of ${count} values, as the first is`);
    }
    return Array.from({ length: count }, (_, at) => ({
      features: Object.fromEntries(columns.map(([name, values]) => [name, values[at]])) as Features,
      entity: undefined,
    }));
  }
  throw new InvalidRequestError('send dataframe_split, dataframe_records, instances or inputs');
}
