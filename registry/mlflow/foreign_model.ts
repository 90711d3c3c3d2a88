import { parse } from 'yaml';
import { z } from 'zod';
import { messageOf } from '#kernel/errors';
import { decodeUtf8, InvalidJsonError, parseExactJson } from '#kernel/exact/exact_json';
import { InvalidModelError } from '../errors.ts';
import type { GraphSpec, TensorSpec } from '../graphs/typed_tensor.ts';
import { type GraphClasses, graphClasses } from '../onnx/class_labels.ts';
import { describeOnnx, graphSpecOf } from '../onnx/describe_onnx.ts';
import type { OnnxElement } from '../onnx/onnx_proto.ts';
import { withoutZipMap, type ZipMap } from '../onnx/without_zip_map.ts';
import type {
  ColumnType,
  InputColumn,
  ModelPackage,
  ModelSignature,
  OnnxInput,
  Task,
} from '../packages/model_package.ts';
import { createEncoder } from '../packages/signature_encoder.ts';
import { examplesOf, type InputExample } from './input_example.ts';
import { paramsOf } from './params_schema.ts';

// Models that were logged to MLflow by others, with mlflow.onnx in Python: what headwater.json would say is read from MLmodel and the graph.

const TASKS = [
  'binary_classification',
  'multiclass_classification',
  'regression',
  'clustering',
  'anomaly_detection',
] as const;

const mlmodelSchema = z.looseObject({
  flavors: z.looseObject({ onnx: z.looseObject({ data: z.string().default('model.onnx') }).optional() }),
  signature: z.looseObject({ inputs: z.string().nullish(), params: z.string().nullish() }).nullish(),
  saved_input_example_info: z
    .looseObject({ artifact_path: z.string(), type: z.string().optional(), pandas_orient: z.string().optional() })
    .nullish(),
  /** Of `log_model(…, metadata={…})`. */
  metadata: z
    .looseObject({
      columns: z.array(z.string()).optional(),
      classes: z.array(z.string()).optional(),
      threshold: z.number().optional(),
      feature_service: z.string().optional(),
      /** Which of the graph's outputs is the prediction. */
      output: z.string().optional(),
      /** Which of them is the predicted class. */
      label: z.string().optional(),
      task: z.enum(TASKS).optional(),
    })
    .nullish(),
});
export type Mlmodel = z.infer<typeof mlmodelSchema>;

const columnsSchema = z.array(
  z.looseObject({ name: z.string().optional(), type: z.string(), required: z.boolean().optional() }),
);

const TYPES: Readonly<Record<string, ColumnType>> = {
  double: 'double',
  float: 'double',
  long: 'long',
  integer: 'long',
  boolean: 'boolean',
  string: 'string',
};

/** @throws {@link InvalidModelError} when MLmodel has no onnx flavor */
export function readMlmodel(bytes: Uint8Array): { readonly mlmodel: Mlmodel; readonly onnxFile: string } {
  let content: unknown;
  try {
    content = parse(decodeUtf8(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)));
  } catch (error) {
    const problem = error instanceof InvalidJsonError ? error.problems : messageOf(error);
    throw new InvalidModelError([`its MLmodel cannot be read: ${problem}`], error);
  }
  const parsed = mlmodelSchema.safeParse(content);
  const onnx = parsed.data?.flavors.onnx;
  if (!parsed.success || onnx === undefined) {
    throw new InvalidModelError(['it has no onnx flavor: log it with mlflow.onnx.log_model']);
  }
  return { mlmodel: parsed.data, onnxFile: onnx.data };
}

/** What a version's tags say, where its file does not: `headwater.classes` (JSON), `headwater.output`, `headwater.label`, `headwater.task`, `headwater.threshold`. */
export type VersionTags = Readonly<Record<string, string>>;

/** What the metadata of a model and the tags of its version declare it to be; the tags count first. */
interface Stated {
  readonly classes?: readonly string[] | undefined;
  readonly threshold?: number | undefined;
  readonly output?: string | undefined;
  readonly label?: string | undefined;
  readonly task?: Task | undefined;
}

const tagsSchema = z.looseObject({
  'headwater.classes': z
    .string()
    .transform((text, context) => {
      const parsed = z.array(z.union([z.string(), z.number()]).transform(String)).safeParse(safeJson(text));
      if (parsed.success) return parsed.data;
      context.addIssue('must be a list in JSON, such as ["no", "yes"]');
      return z.NEVER;
    })
    .optional(),
  'headwater.output': z.string().optional(),
  'headwater.label': z.string().optional(),
  'headwater.task': z.enum(TASKS).optional(),
  'headwater.threshold': z.coerce.number().optional(),
});

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function statedOf({ metadata }: Mlmodel, tags: VersionTags, problems: string[]): Stated {
  const parsed = tagsSchema.safeParse(tags);
  if (!parsed.success) problems.push(`its tags: ${z.prettifyError(parsed.error)}`);
  const of = parsed.data ?? {};
  return {
    classes: of['headwater.classes'] ?? metadata?.classes,
    threshold: of['headwater.threshold'] ?? metadata?.threshold,
    output: of['headwater.output'] ?? metadata?.output,
    label: of['headwater.label'] ?? metadata?.label,
    task: of['headwater.task'] ?? metadata?.task,
  };
}

/**
 * Columns: of `metadata.columns`, of a signature with named columns, of the graph's inputs where each is a column, or f0, f1, … What the output is:
 * by tags of the version, by metadata, by what the graph itself holds (a label output, class labels); otherwise the plain output.
 *
 * @param example - the input_example that was logged with it: what explanations compare with
 * @throws {@link InvalidModelError} listing what serving could not do with it
 */
export function packageOfForeign(
  mlmodel: Mlmodel,
  file: Uint8Array,
  { tags = {}, example }: { readonly tags?: VersionTags; readonly example?: InputExample | undefined } = {},
): ModelPackage {
  const problems: string[] = [];
  const { onnx, zipMaps } = withoutZipMap(file);
  const described = describeOnnx(onnx);
  const spec = graphSpecOf(described);
  const stated = statedOf(mlmodel, tags, problems);
  const params = paramsOf(mlmodel.signature?.params, problems);
  const withParams = params === undefined ? {} : { params };
  const named = namedColumns(mlmodel, problems);
  const tensors = rowInputs(spec, named?.length);
  const known = meaningOf(spec, stated, graphClasses(onnx), zipMaps, problems);
  if (problems.length > 0) throw new InvalidModelError(problems);
  if (tensors === undefined || known === undefined) {
    const input = spec.inputs[0]?.name ?? '';
    const output = stated.output ?? spec.outputs[0]?.name ?? '';
    if (spec.outputs.length === 0) {
      throw new InvalidModelError([
        `its outputs ${spec.unreadable.join(', ')} are no tensors: onnxruntime cannot give them here`,
      ]);
    }
    return {
      ...{ onnx, examples: [] },
      signature: { inputs: [], task: 'tensors', classes: [], onnx: { input, output }, ...withParams },
    };
  }
  const inputs = columnsOf(mlmodel, tensors, named, problems);
  const width = tensors.reduce((sum, { columns }) => sum + columns, 0);
  if (inputs.length !== width) problems.push(`it takes ${width} columns, and ${inputs.length} are named`);
  const repeated = inputs.map(({ name }) => name).filter((name, at, all) => all.indexOf(name) !== at);
  if (repeated.length > 0) problems.push(`its columns ${repeated.join(', ')} come more than once`);
  if (problems.length > 0) throw new InvalidModelError(problems);
  const [first, ...others] = tensors as [OnnxInput, ...OnnxInput[]];
  const isPlain = others.length === 0 && first.element === 'float32' && first.isFlat !== true;
  const { output, label, task, classes } = known;
  const signature: ModelSignature = {
    ...{ inputs, task, classes },
    ...(stated.threshold === undefined ? {} : { threshold: stated.threshold }),
    onnx: {
      ...{ input: first.name, output, ...(isPlain ? {} : { inputs: tensors }) },
      ...(label === undefined ? {} : { label }),
    },
    ...(mlmodel.metadata?.feature_service === undefined
      ? {}
      : { featureService: { service: mlmodel.metadata.feature_service } }),
    ...withParams,
  };
  return { onnx, examples: examplesOf(example, signature, createEncoder(signature)), signature };
}

/** Tensors [rows, columns] or [rows]; undefined where the graph takes anything else. @param named - columns with names of their own */
function rowInputs({ inputs }: GraphSpec, named: number | undefined): readonly OnnxInput[] | undefined {
  const taken: OnnxInput[] = [];
  for (const { name, type: element, dims } of inputs) {
    if (dims.length === 1 && inputs.length > 1) {
      taken.push({ name, element, columns: 1, isFlat: true });
      continue;
    }
    // How many columns there are may be known to the signature alone.
    const columns = typeof dims[1] === 'number' ? dims[1] : inputs.length === 1 ? named : undefined;
    if (dims.length !== 2 || columns === undefined) return undefined;
    taken.push({ name, element, columns });
  }
  return taken.length === 0 ? undefined : taken;
}

interface Known extends Pick<ModelSignature, 'task' | 'classes'> {
  readonly output: string;
  readonly label: string | undefined;
}

const isFloat = ({ type }: TensorSpec): boolean => type.startsWith('float');
const isColumn = ({ dims }: TensorSpec): boolean => dims.length === 1 || (dims.length === 2 && dims[1] === 1);
/** [rows], [rows, columns]; a number of columns that is not known is known by classes alone. */
const isScores = (output: TensorSpec): boolean => isFloat(output) && output.dims.length <= 2 && output.dims.length > 0;
const canLabel = (output: TensorSpec): boolean =>
  output.dims.length > 0 && output.dims.length <= 2 && !isFloat(output) && output.dims[1] !== undefined
    ? output.dims[1] === 1
    : output.dims.length === 1 && !isFloat(output);
/** Whether it may have a value for each row: a fixed number of them, where the graph takes any number of rows, is of something else. Exporters write 1 for any. */
const mayBeOfRows = ({ inputs }: GraphSpec, { dims: [count] }: TensorSpec): boolean =>
  typeof count !== 'number' || count === 1 || inputs.some(({ dims: [rows] }) => typeof rows === 'number');
/** As skl2onnx and onnxmltools name it. */
const LABEL_NAME = /^(output_)?label$/;

/** Returns what decides a row; undefined where no output is a row's. */
function meaningOf(
  spec: GraphSpec,
  stated: Stated,
  { labels, classesOf }: GraphClasses,
  zipMaps: readonly ZipMap[],
  problems: string[],
): Known | undefined {
  const { outputs } = spec;
  for (const name of [stated.output, stated.label]) {
    if (name === undefined || outputs.some((output) => output.name === name)) continue;
    problems.push(`it has no output called ${name}: there is ${outputs.map((output) => output.name).join(', ')}`);
    return undefined;
  }
  const ofRows = outputs.filter((output) => mayBeOfRows(spec, output));
  const label = ofRows.find(
    (output) =>
      (output.name === stated.label || (stated.label === undefined && canLabel(output))) &&
      (output.name === stated.label || labels.has(output.name) || LABEL_NAME.test(output.name)),
  )?.name;
  const scores = ofRows.filter((output) => output.name !== label && isScores(output));
  const scored =
    outputs.find(({ name }) => name === stated.output) ??
    scores.find(({ name }) => name.includes('prob')) ??
    scores.find(({ name }) => classesOf.has(name)) ??
    scores[0];
  const zipMap = zipMaps.find(({ output }) => output === scored?.name);
  if (scored === undefined) {
    const plain = label ?? ofRows.find((output) => isColumn(output))?.name;
    if (plain === undefined) return undefined;
    const isNumber = outputs.some(({ name, type }) => name === plain && type !== 'string');
    // An integer for each row, and nothing says that it is a class: a value.
    if (label === undefined && isNumber) return { output: plain, label, task: 'regression', classes: [] };
    return { output: plain, label: plain, task: 'values', classes: [] };
  }
  const { name: output, dims } = scored;
  if (dims.length > 2 || dims.length === 0) return undefined;
  const width = dims.length === 1 ? 1 : dims[1];
  const fits = (classes: readonly string[] | undefined) =>
    classes !== undefined && (typeof width !== 'number' || classes.length === width) ? classes : undefined;
  if (stated.classes !== undefined && typeof width === 'number' && width > 1 && stated.classes.length !== width) {
    problems.push(`its output ${output} has ${width} values, and ${stated.classes.length} classes are named`);
  }
  const { task } = stated;
  // Classes by their name: anomalies have two for one score.
  if (task === 'anomaly_detection')
    return { output, label: undefined, task, classes: stated.classes ?? ['normal', 'anomaly'] };
  // A width that the file leaves open is checked when the model is loaded.
  if (task === 'regression' && (width === 1 || typeof width !== 'number'))
    return { output, label: undefined, task, classes: [] };
  const classes = fits(stated.classes) ?? fits(zipMap?.classes) ?? fits(classesOf.get(output));
  if (classes !== undefined && classes.length > 1) {
    const told = task ?? (classes.length === 2 ? 'binary_classification' : 'multiclass_classification');
    return { output, label, task: told, classes };
  }
  if (width === 1 && label === undefined) return { output, label, task: 'regression', classes: [] };
  // Without a width scores are no columns, but a label decides a row by itself.
  if (typeof width !== 'number')
    return label === undefined ? undefined : { output: label, label, task: 'values', classes: [] };
  const values = width === 1 ? [output] : Array.from({ length: width }, (_, at) => `${output}.${at}`);
  return { output, label, task: 'values', classes: values };
}

function jsonOf(text: string, problems: string[]): unknown {
  try {
    return parseExactJson(text);
  } catch (error) {
    if (!(error instanceof InvalidJsonError)) throw error;
    problems.push(`the signature in its MLmodel cannot be used: ${error.problems}`);
    return undefined;
  }
}

/** Columns of metadata, or of a signature of columns; undefined where there are none. */
function namedColumns(mlmodel: Mlmodel, problems: string[]): readonly SignatureColumn[] | undefined {
  const told = mlmodel.metadata?.columns;
  if (told !== undefined) return told.map((name) => ({ name, type: undefined }));
  const text = mlmodel.signature?.inputs;
  if (text === null || text === undefined) return undefined;
  const columns = columnsSchema.safeParse(jsonOf(text, problems));
  return !columns.success || columns.data.some(({ type }) => type === 'tensor') ? undefined : columns.data;
}

interface SignatureColumn {
  readonly name?: string | undefined;
  /** Of MLflow. */
  readonly type: string | undefined;
  readonly required?: boolean | undefined;
}

function columnsOf(
  mlmodel: Mlmodel,
  tensors: readonly OnnxInput[],
  named: readonly SignatureColumn[] | undefined,
  problems: string[],
): readonly InputColumn[] {
  const elements = tensors.flatMap(({ element, columns }) => Array.from({ length: columns }, () => element));
  const plain = (name: string, index: number): InputColumn => {
    const type = COLUMN_TYPES[elements[index] ?? 'float32'];
    return { name, type, required: type !== 'double' };
  };
  if (mlmodel.metadata?.columns !== undefined) return mlmodel.metadata.columns.map(plain);
  if (named === undefined) {
    return tensors.every(({ columns }) => columns === 1)
      ? tensors.map(({ name }, index) => plain(name, index))
      : elements.map((_, index) => plain(`f${index}`, index));
  }
  // A graph of an input a column has them by name, in whatever order the signature has them.
  const byInput =
    tensors.every(({ columns }) => columns === 1) &&
    tensors.every(({ name }) => named.some((each) => each.name === name));
  const ordered =
    byInput && named.length === tensors.length
      ? tensors.map(({ name }) => named.find((each) => each.name === name) as SignatureColumn)
      : named;
  return ordered.map(({ name, type = '', required = true }, index) => {
    const known = TYPES[type];
    const isText = elements[index] === 'string';
    if (known === undefined || (known === 'string') !== isText) {
      problems.push(`its column ${name ?? index} is ${type}, the graph takes ${elements[index] ?? 'no such column'}`);
    }
    const column = { name: name ?? `f${index}`, type: known ?? 'double', required };
    // A data frame has NaN where a number is missing, whether the column is required or not.
    return known === 'double' && required ? { ...column, nullable: true } : column;
  });
}

const COLUMN_TYPES: Readonly<Record<OnnxElement, ColumnType>> = {
  ...{ float16: 'double', float32: 'double', float64: 'double', bool: 'boolean', string: 'string' },
  ...{
    int8: 'long',
    int16: 'long',
    int32: 'long',
    int64: 'long',
    uint8: 'long',
    uint16: 'long',
    uint32: 'long',
    uint64: 'long',
  },
};
