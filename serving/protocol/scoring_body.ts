import { parse as parseCsv } from 'csv-parse/sync';
import { messageOf } from '#kernel/errors';
import { numberOfText } from '#kernel/exact/exact_number';
import type { NamedTensors, TensorSpec } from '#registry/graphs/typed_tensor';
import type { ModelParam } from '#registry/packages/model_package';
import { InvalidRequestError } from '../errors.ts';
import type { Features, Row } from '../inference/predictor.ts';
import type { LoadedModel } from '../models/loaded_model.ts';
import { refuseRepeated } from './open_inference/infer_request.ts';
import { tensorFromJson } from './open_inference/tensor_codec.ts';
import { isObject } from './requests.ts';

// Bodies of MLflow's scoring server, SageMaker's containers and KServe's protocol of version 1.

/** What a body has for a model: rows of columns, or tensors under the graph's own names. */
export type ScoringInput =
  | { readonly rows: readonly Row[] }
  | {
      readonly tensors: NamedTensors /** Answers are a value for each row, as the input was. */;
      readonly isByRow: boolean;
    };

const FORMATS = ['dataframe_split', 'dataframe_records', 'instances', 'inputs'] as const;

/** @throws {@link InvalidRequestError} for a body without a format, or with two */
export function scoringInput(model: LoadedModel, body: unknown): ScoringInput {
  if (!isObject(body)) throw new InvalidRequestError('the body must be a JSON object');
  const given = FORMATS.filter((format) => body[format] !== undefined);
  const [format] = given;
  if (format === undefined || given.length > 1) {
    const two = given.length > 1 ? `${given.join(' and ')} were sent: ` : '';
    throw new InvalidRequestError(`${two}send dataframe_split, dataframe_records, instances or inputs, one of them`);
  }
  checkParams(model.signature.params, body.params);
  const data = body[format];
  if (format === 'dataframe_split') return { rows: splitRows(model, data) };
  if (format === 'dataframe_records') return { rows: listedRows(model, listOf(format, data)) };
  if (takesTensors(model, data)) return tensorsOf(model, format, data);
  if (Array.isArray(data)) return { rows: listedRows(model, data) };
  if (format === 'inputs' && isObject(data)) return { rows: columnRows(data) };
  throw new InvalidRequestError(
    `${format} must be a list of rows${format === 'inputs' ? ', or an object of columns' : ''}`,
  );
}

function listOf(format: string, data: unknown): readonly unknown[] {
  if (Array.isArray(data)) return data;
  throw new InvalidRequestError(`${format} must be a list of rows`);
}

/** Whether data is in tensors: always for a graph that takes no rows; by the graph's own names, where these are no columns. */
function takesTensors({ rowsProblem, spec, encoder }: LoadedModel, data: unknown): boolean {
  if (rowsProblem !== undefined) return true;
  if (!isObject(data)) return false;
  const names = Object.keys(data);
  const isColumn = names.every((name) => encoder.names.includes(name));
  return !isColumn && names.every((name) => spec.inputs.some((input) => input.name === name));
}

function splitRows({ encoder }: LoadedModel, split: unknown): readonly Row[] {
  const { columns = encoder.names, index, data } = isObject(split) ? split : ({} as Features);
  if (!Array.isArray(columns) || !columns.every((name) => typeof name === 'string')) {
    throw new InvalidRequestError('columns of dataframe_split must be a list of names');
  }
  refuseRepeated('column', columns);
  if (index !== undefined && !Array.isArray(index)) {
    throw new InvalidRequestError('index of dataframe_split must be a list');
  }
  if (!Array.isArray(data)) throw new InvalidRequestError('data of dataframe_split must be a list of rows');
  return data.map((value, at) => rowOf(value, at, columns));
}

const listedRows = ({ encoder }: LoadedModel, list: readonly unknown[]): readonly Row[] =>
  list.map((value, at) => rowOf(value, at, encoder.names));

function rowOf(value: unknown, index: number, columns: readonly string[]): Row {
  if (isObject(value)) return { features: value, entity: undefined };
  if (!Array.isArray(value) || value.length !== columns.length) {
    throw new InvalidRequestError(`row ${index} must be an object, or have ${columns.length} values`);
  }
  return { features: Object.fromEntries(columns.map((name, at) => [name, value[at]])), entity: undefined };
}

function columnRows(inputs: Features): readonly Row[] {
  // A column may be [rows] or [rows, 1].
  const columns = Object.entries(inputs).map(([name, values]) => [name, columnOf(values)] as const);
  const count = Array.isArray(columns[0]?.[1]) ? columns[0][1].length : 0;
  const uneven = columns.find(([, values]) => values === undefined || values.length !== count);
  if (uneven !== undefined) {
    throw new InvalidRequestError(`column ${uneven[0]} of inputs must be a list of ${count} values, as the first is`);
  }
  return Array.from({ length: count }, (_, at) => ({
    features: Object.fromEntries(columns.map(([name, values]) => [name, (values as readonly unknown[])[at]])),
    entity: undefined,
  }));
}

const columnOf = (values: unknown): readonly unknown[] | undefined => {
  if (!Array.isArray(values)) return undefined;
  return values.every((value) => Array.isArray(value) && value.length === 1) ? values.flat() : values;
};

/** Tensors by name, of rows (`instances`) or as a whole (`inputs`). */
function tensorsOf({ spec }: LoadedModel, format: string, data: unknown): ScoringInput {
  const [only, ...others] = spec.inputs as readonly [TensorSpec, ...TensorSpec[]];
  const isByRow = format === 'instances';
  let named: Features;
  if (isByRow) {
    const rows = listOf(format, data);
    if (rows.length === 0) throw new InvalidRequestError('there is nothing to score: the array is empty');
    named = rows.every(isObject)
      ? Object.fromEntries(spec.inputs.map(({ name }) => [name, rows.map((row) => (row as Features)[name])]))
      : { [only.name]: rows };
  } else named = isObject(data) ? data : { [only.name]: data };
  if (!isObject(data) && others.length > 0 && Object.keys(named).length === 1) {
    const names = spec.inputs.map(({ name }) => name).join(', ');
    throw new InvalidRequestError(`the model has the inputs ${names}: send an object of them`);
  }
  const tensors = Object.entries(named).map(([name, values]) => {
    const input = spec.inputs.find((each) => each.name === name);
    if (input === undefined) throw new InvalidRequestError(`there is no input ${name}`);
    const dims = shapeOf(name, values);
    const flat = Array.isArray(values) ? (values.flat(Number.POSITIVE_INFINITY) as unknown[]) : [values];
    // Missing, where a float has a value for it.
    const known = input.type.startsWith('float') ? flat.map((value) => (value === null ? 'NaN' : value)) : flat;
    return [name, { ...tensorFromJson({ name, type: input.type, dims: [flat.length] }, known), dims }] as const;
  });
  return { tensors: Object.fromEntries(tensors), isByRow };
}

/** @throws {@link InvalidRequestError} for lists of different lengths */
function shapeOf(name: string, values: unknown): number[] {
  const dims: number[] = [];
  let level: readonly unknown[] = [values];
  while (level.some((each) => Array.isArray(each))) {
    const length = Array.isArray(level[0]) ? level[0].length : -1;
    if (!level.every((each) => Array.isArray(each) && each.length === length)) {
      throw new InvalidRequestError(`input ${name} must be lists of the same length at each level`);
    }
    if (length === 0) throw new InvalidRequestError(`input ${name} has an empty list`);
    dims.push(length);
    level = level.flat() as readonly unknown[];
  }
  return dims;
}

const PARAM_RULES: Readonly<Record<ModelParam['type'], (value: unknown) => boolean>> = {
  boolean: (value) => typeof value === 'boolean',
  integer: (value) => Number.isInteger(value) && Math.abs(value as number) < 2 ** 31,
  long: (value) => Number.isSafeInteger(value),
  float: (value) => typeof value === 'number',
  double: (value) => typeof value === 'number',
  string: (value) => typeof value === 'string',
  datetime: (value) => typeof value === 'string' && !Number.isNaN(Date.parse(value)),
  object: isObject,
};

/**
 * Checks params by the model's schema, as MLflow does. A graph of ONNX takes none: they change no answer.
 *
 * @throws {@link InvalidRequestError} naming one that the schema does not have, or of another type
 */
function checkParams(schema: readonly ModelParam[] = [], params: unknown): void {
  if (params === undefined || params === null) return;
  if (!isObject(params)) throw new InvalidRequestError('params must be an object');
  for (const [name, value] of Object.entries(params)) {
    const param = schema.find((each) => each.name === name);
    if (param === undefined) {
      const known =
        schema.length === 0 ? 'its signature has none' : `there is ${schema.map((each) => each.name).join(', ')}`;
      throw new InvalidRequestError(`the model has no param ${name}: ${known}`);
    }
    const rule = PARAM_RULES[param.type];
    const isRight = param.isList ? Array.isArray(value) && value.every(rule) : rule(value);
    if (!isRight)
      throw new InvalidRequestError(`param ${name} must be ${param.isList ? 'a list of ' : ''}${param.type}`);
  }
}

/** Reads CSV: with the names of columns in its first line, or in the order of the model's columns. */
export function csvRows(model: LoadedModel, text: string): readonly Row[] {
  const { encoder, rowsProblem } = model;
  if (rowsProblem !== undefined) throw new InvalidRequestError(`text/csv is for rows of columns: ${rowsProblem}`);
  let lines: string[][];
  try {
    lines = parseCsv(text, { bom: true, skip_empty_lines: true, relax_column_count: true }) as string[][];
  } catch (error) {
    throw new InvalidRequestError(`the CSV cannot be read: ${messageOf(error)}`);
  }
  const [first = []] = lines;
  const isHeader = first.some((name) => encoder.names.includes(name.trim()));
  const columns = isHeader ? first.map((name) => name.trim()) : encoder.names;
  refuseRepeated('column', columns);
  const types = columns.map((name) => encoder.types[encoder.names.indexOf(name)]);
  return lines.slice(isHeader ? 1 : 0).map((line, at) => {
    if (line.length !== columns.length) {
      throw new InvalidRequestError(`row ${at} has ${line.length} values; there are ${columns.length} columns`);
    }
    return rowOf(
      line.map((value, column) => typed(value, types[column])),
      at,
      columns,
    );
  });
}

/** CSV knows text alone; what is empty is missing, as data frames have it. */
function typed(value: string, type: string | undefined): unknown {
  if (type === 'string') return value;
  const text = value.trim();
  if (text === '' || text === 'NaN' || text === 'nan') return null;
  if (type === 'boolean')
    return text === 'true' || text === 'True'
      ? true
      : text === 'false' || text === 'False'
        ? false
        : (numberOfText(text) ?? text);
  return numberOfText(text) ?? text;
}
