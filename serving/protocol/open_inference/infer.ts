import type { NamedTensors, TensorSpec, TypedTensor } from '#registry/graphs/typed_tensor';
import { arrayFrom } from '#registry/rows/row_feeds';
import { InvalidRequestError } from '../../errors.ts';
import { type AnsweredRows, type AnswerIds, listOf } from '../../inference/answered_rows.ts';
import type { Predictor, Row } from '../../inference/predictor.ts';
import type { Call } from '../../models/call.ts';
import type { LoadedModel } from '../../models/loaded_model.ts';
import type { ActiveModel } from '../../models/model_slot.ts';
import { DATATYPES } from '../../models/tensor_json.ts';
import type { InferRequest } from './infer_request.ts';
import { plainValues } from './tensor_codec.ts';

/** What each row of columns comes to, beside the graph's own outputs. */
export const PREDICTION = 'prediction';

export interface Inference {
  readonly by: ActiveModel;
  readonly outputs: readonly NamedTensor[];
}

export interface NamedTensor extends TypedTensor {
  readonly name: string;
}

export interface InferSettings {
  readonly ids: AnswerIds;
  readonly maxBatchRows: number;
  readonly call: Call | undefined;
  /** Whom the rows are about. */
  readonly entity?: string | undefined;
}

/**
 * Answers a request of the Open Inference Protocol: tensors under the graph's own names, or one for each column of a model that takes rows.
 *
 * @throws {@link InvalidRequestError} naming what the model does not take
 */
export async function inferRequested(
  predictor: Predictor,
  active: ActiveModel,
  request: InferRequest,
  settings: InferSettings,
): Promise<Inference> {
  const { model } = active;
  const { inputs } = request;
  const names = Object.keys(inputs);
  const isColumns =
    model.rowsProblem === undefined &&
    names.every((name) => model.encoder.names.includes(name)) &&
    !fitsGraph(model, inputs);
  const unnamed = [...model.spec.outputs.map(({ name }) => name)];
  const requested = request.outputs?.map(({ name }) => name) ?? (isColumns ? columnOutputs(model) : unnamed);
  checkOutputs(model, requested);
  const { maxBatchRows } = settings;
  const rows = isColumns ? columnRows(model, inputs) : undefined;
  const count = rows?.length ?? Object.values(inputs)[0]?.dims[0] ?? 1;
  if (count > maxBatchRows) throw new InvalidRequestError(`${count} rows are too many: send ${maxBatchRows} at most`);
  if (rows !== undefined) return inferColumns(predictor, active, rows, requested, settings);
  checkTensors(active, inputs);
  const graphs = requested.filter((name) => name !== PREDICTION);
  const { results, by, answered } = await predictor.inferTensors(active, inputs, graphs, settings);
  return { by, outputs: requested.map((name) => outputOf(name, results, { by, answered })) };
}

function outputOf(
  name: string,
  results: NamedTensors,
  { by, answered }: { readonly by: ActiveModel; readonly answered: AnsweredRows | undefined },
): NamedTensor {
  if (name !== PREDICTION) return { name, ...(results[name] as TypedTensor) };
  if (answered === undefined)
    throw new InvalidRequestError('there is no prediction for these tensors: they are no rows of columns');
  return { name, ...predictionTensor(by.model, answered.predictions()) };
}

const columnOutputs = ({ signature }: LoadedModel): readonly string[] => [
  PREDICTION,
  ...new Set([signature.onnx.output, ...(signature.onnx.label === undefined ? [] : [signature.onnx.label])]),
];

function checkOutputs({ spec, rowsProblem }: LoadedModel, requested: readonly string[]): void {
  const known = spec.outputs.map(({ name }) => name);
  if (rowsProblem === undefined) known.unshift(PREDICTION);
  const unreadable = requested.find((name) => spec.unreadable.includes(name));
  if (unreadable !== undefined) {
    throw new InvalidRequestError(`output ${unreadable} is a map or a sequence, which cannot be given as a tensor`);
  }
  const unknown = requested.filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new InvalidRequestError(`there is no output ${unknown.join(', ')}; there is ${known.join(', ')}`);
  }
}

/** Whether tensors are those of the graph, by name, type and number of dimensions. */
const fitsGraph = ({ spec }: LoadedModel, inputs: NamedTensors): boolean =>
  spec.inputs.every(({ name, type, dims, isAnyRank }) => {
    const tensor = inputs[name];
    return tensor !== undefined && tensor.type === type && (isAnyRank === true || tensor.dims.length === dims.length);
  }) && Object.keys(inputs).length === spec.inputs.length;

const shown = ({ dims, isAnyRank }: TensorSpec): string =>
  isAnyRank === true ? '[…]' : `[${dims.map((dim) => dim ?? -1).join(', ')}]`;

/** @throws {@link InvalidRequestError} for tensors that the graph does not take */
export function checkTensors({ name: modelName, model }: ActiveModel, inputs: NamedTensors): void {
  const { spec, hasFixedRow } = model;
  const known = spec.inputs.map(({ name }) => name);
  const problems: string[] = [];
  for (const name of Object.keys(inputs)) if (!known.includes(name)) problems.push(`there is no input ${name}`);
  let rows: number | undefined;
  for (const input of spec.inputs) {
    const { name, type, dims, isAnyRank } = input;
    const tensor = inputs[name];
    if (tensor === undefined) {
      problems.push(`input ${name} is missing`);
      continue;
    }
    if (tensor.type !== type) problems.push(`input ${name} is ${DATATYPES[tensor.type]}, not ${DATATYPES[type]}`);
    const fits = (dim: number, at: number): boolean => {
      const wanted = dims[at];
      return typeof wanted !== 'number' || wanted === dim || (at === 0 && hasFixedRow);
    };
    if (isAnyRank !== true && (tensor.dims.length !== dims.length || !tensor.dims.every(fits))) {
      problems.push(`input ${name} has the shape [${tensor.dims.join(', ')}], not ${shown(input)}`);
    } else if (hasFixedRow || model.rowsProblem === undefined) {
      rows ??= tensor.dims[0];
      if (tensor.dims[0] !== rows) problems.push(`input ${name} has ${tensor.dims[0]} rows, others have ${rows}`);
    }
  }
  if (problems.length === 0) return;
  const wanted = spec.inputs.map((input) => `${input.name} ${DATATYPES[input.type]} ${shown(input)}`).join(', ');
  const columns =
    model.rowsProblem === undefined ? `; or a tensor for each column: ${model.encoder.names.join(', ')}` : '';
  throw new InvalidRequestError(`model "${modelName}": ${problems.join('; ')}. It takes ${wanted}${columns}`);
}

const NUMBERS = /^(float|u?int)/;

/** Rows of tensors, one for each column. */
function columnRows({ signature }: LoadedModel, inputs: NamedTensors): Row[] {
  const entries = Object.entries(inputs);
  const [[firstName, first]] = entries as [[string, TypedTensor]];
  const rows = first.data.length;
  const columns = entries.map(([name, tensor]) => {
    const { dims, data, type } = tensor;
    if (data.length !== rows)
      throw new InvalidRequestError(`input ${name} has ${data.length} rows, ${firstName} has ${rows}`);
    if (dims.length > 2 || (dims.length === 2 && dims[1] !== 1)) {
      throw new InvalidRequestError(
        `input ${name} has the shape [${dims.join(', ')}]: a column is [${rows}] or [${rows}, 1]`,
      );
    }
    const column = signature.inputs.find((each) => each.name === name);
    const isText = column?.type === 'string';
    const isTaken = isText ? type === 'string' : NUMBERS.test(type) || (type === 'bool' && column?.type === 'boolean');
    if (!isTaken) {
      const wanted = isText ? 'BYTES' : column?.type === 'boolean' ? 'BOOL' : 'a datatype of numbers';
      throw new InvalidRequestError(`input ${name} is ${DATATYPES[type]}: column ${name} takes ${wanted}`);
    }
    // NaN is what is missing; infinities are refused with the row.
    const values = plainValues(tensor).map((value) => (!isText && value === 'NaN' ? null : value));
    return [name, values] as const;
  });
  return Array.from({ length: rows }, (_, row) => ({
    features: Object.fromEntries(columns.map(([name, values]) => [name, values[row]])),
    entity: undefined,
  }));
}

const inRow = (index: number): string => `row ${index}: `;

async function inferColumns(
  predictor: Predictor,
  active: ActiveModel,
  rows: readonly Row[],
  requested: readonly string[],
  { ids, call, entity }: InferSettings,
): Promise<Inference> {
  const { model } = active;
  const entityKey = predictor.entityKeyOf(active, entity);
  const input = predictor.encode(active, rows, inRow);
  const known = new Set(columnOutputs(model));
  if (!requested.every((name) => known.has(name))) {
    const feeds = model.feedsOf(input, rows.length);
    const graphs = requested.filter((name) => name !== PREDICTION);
    const { results, by, answered } = await predictor.inferTensors(active, feeds, graphs, { ids, call, entity });
    return { by, outputs: requested.map((name) => outputOf(name, results, { by, answered })) };
  }
  const inferred = await predictor.infer(active, input, rows.length, call, entity);
  predictor.checkFinite(inferred, rows.length);
  const answered = predictor.finish(inferred, ids, listOf(rows, entityKey));
  const { by, output } = inferred;
  return {
    by,
    outputs: requested.map((name) =>
      name === PREDICTION
        ? { name, ...predictionTensor(by.model, answered.predictions()) }
        : { name, ...by.model.outputTensor(name, output, rows.length) },
    ),
  };
}

/** Predictions as a tensor: classes are strings, labels and values numbers. */
function predictionTensor({ signature, spec }: LoadedModel, predictions: readonly unknown[]): TypedTensor {
  const rows = predictions.length;
  const [first] = predictions;
  if (typeof first === 'string') return { type: 'string', dims: [rows], data: predictions as readonly string[] };
  if (Array.isArray(first)) {
    return { type: 'float64', dims: [rows, first.length], data: Float64Array.from((predictions as number[][]).flat()) };
  }
  const label = spec.outputs.find(({ name }) => name === signature.onnx.label)?.type ?? 'float64';
  const type = label === 'string' ? 'float64' : label;
  return { type, dims: [rows], data: arrayFrom(type, Float64Array.from(predictions as number[])) };
}
