import { parse } from 'yaml';
import { z } from 'zod';
import { messageOf } from '#kernel/errors';
import { decodeUtf8, InvalidJsonError, parseExactJson } from '#kernel/exact_json';
import { InvalidModelError } from '../errors.ts';
import type { ColumnType, InputColumn, ModelPackage, ModelSignature, OnnxInput } from '../model_package.ts';
import { describeOnnx, type OnnxDescription, type OnnxValue } from '../onnx/describe_onnx.ts';
import { ONNX_ELEMENTS, ONNX_FLOAT, type OnnxElement } from '../onnx/onnx_proto.ts';
import { withoutZipMap } from '../onnx/without_zip_map.ts';

// Models that were logged to MLflow by others, with mlflow.onnx in Python: what headwater.json would say is read from MLmodel and the graph.

const mlmodelSchema = z.looseObject({
  flavors: z.looseObject({ onnx: z.looseObject({ data: z.string().default('model.onnx') }).optional() }),
  signature: z.looseObject({ inputs: z.string().nullish() }).nullish(),
  /** Of `log_model(…, metadata={…})`. */
  metadata: z
    .looseObject({
      columns: z.array(z.string()).optional(),
      classes: z.array(z.string()).optional(),
      threshold: z.number().optional(),
      feature_service: z.string().optional(),
      /** Which of the graph's outputs is the prediction. */
      output: z.string().optional(),
    })
    .nullish(),
});
type Mlmodel = z.infer<typeof mlmodelSchema>;

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

/**
 * Columns: of `metadata.columns`, of a signature with named columns, of the graph's inputs where each is a column, or f0, f1, … Classes: of
 * `metadata.classes`, of the graph, or 0, 1, … Output: `metadata.output`, probabilities, or the first that can be read.
 *
 * @throws {@link InvalidModelError} listing what serving could not do with it
 */
export function packageOfForeign(mlmodel: Mlmodel, file: Uint8Array): ModelPackage {
  const problems: string[] = [];
  const { onnx, zipMap } = withoutZipMap(file);
  const described = describeOnnx(onnx);
  const tensors = inputsOf(described, problems);
  const output = outputOf(described, mlmodel.metadata?.output ?? zipMap?.input, problems);
  const width = tensors?.reduce((sum, { columns }) => sum + columns, 0);
  const inputs = columnsOf(mlmodel, tensors ?? [], problems);
  if (width !== undefined && inputs.length !== width) {
    problems.push(`it takes ${width} columns, and ${inputs.length} are named`);
  }
  const [first, ...others] = tensors ?? [];
  if (problems.length > 0 || first === undefined || output === undefined) throw new InvalidModelError(problems);
  const isPlain = others.length === 0 && first.element === 'float32';
  return {
    onnx,
    examples: [],
    signature: {
      inputs,
      ...taskOf(output, mlmodel.metadata?.classes ?? zipMap?.classes),
      ...(mlmodel.metadata?.threshold === undefined ? {} : { threshold: mlmodel.metadata.threshold }),
      onnx: { input: first.name, output: output.name, ...(isPlain ? {} : { inputs: tensors as OnnxInput[] }) },
      ...(mlmodel.metadata?.feature_service === undefined
        ? {}
        : { featureService: { service: mlmodel.metadata.feature_service } }),
    },
  };
}

const isMatrix = ({ elementType, dims }: OnnxValue): boolean => isFloat(elementType) && dims.length === 2;
const isFloat = (elementType: number | undefined): boolean =>
  elementType === ONNX_FLOAT || ONNX_ELEMENTS[elementType as keyof typeof ONNX_ELEMENTS] === 'float64';

/** Matrices [rows, columns], of numbers, truth values or texts. */
function inputsOf({ inputs }: OnnxDescription, problems: string[]): readonly OnnxInput[] | undefined {
  const taken = inputs.flatMap(({ name, elementType, dims }): OnnxInput[] => {
    const element = ONNX_ELEMENTS[elementType as keyof typeof ONNX_ELEMENTS];
    const columns = dims[1];
    return element === undefined || columns === undefined || dims.length !== 2 ? [] : [{ name, element, columns }];
  });
  if (taken.length === inputs.length && taken.length > 0) return taken;
  const names = inputs.map(({ name }) => name).join(', ');
  problems.push(`it takes ${names}: tensors [rows, columns] of numbers, truth values or texts are what can be fed`);
  return undefined;
}

/** Probabilities, where there are labels as well; values of a regression may be [rows] or [rows, 1]. */
function outputOf({ outputs }: OnnxDescription, wanted: string | undefined, problems: string[]): OnnxValue | undefined {
  const usable = outputs.filter(
    (output) => isMatrix(output) || (isFloat(output.elementType) && output.dims.length === 1),
  );
  const chosen =
    wanted === undefined
      ? (usable.find(({ name }) => name.includes('prob')) ?? usable[0])
      : usable.find(({ name }) => name === wanted);
  if (chosen !== undefined) return chosen;
  const names = outputs.map(({ name }) => name).join(', ');
  problems.push(`its outputs ${names} are no FP32 or FP64 tensor${wanted === undefined ? '' : ` called ${wanted}`}`);
  return undefined;
}

function taskOf({ dims }: OnnxValue, named: readonly string[] | undefined): Pick<ModelSignature, 'task' | 'classes'> {
  const count = named?.length ?? dims[1] ?? 1;
  if (count === 1) return { task: 'regression', classes: [] };
  const classes = named ?? Array.from({ length: count }, (_, index) => String(index));
  return { task: count === 2 ? 'binary_classification' : 'multiclass_classification', classes };
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

function columnsOf(mlmodel: Mlmodel, tensors: readonly OnnxInput[], problems: string[]): readonly InputColumn[] {
  const elements = tensors.flatMap(({ element, columns }) => Array.from({ length: columns }, () => element));
  const named = (name: string, index: number): InputColumn => {
    const type = COLUMN_TYPES[elements[index] ?? 'float32'];
    return { name, type, required: type !== 'double' };
  };
  const told = mlmodel.metadata?.columns;
  if (told !== undefined) return told.map(named);
  const unnamed = tensors.every(({ columns }) => columns === 1)
    ? tensors.map(({ name }, index) => named(name, index))
    : elements.map((_, index) => named(`f${index}`, index));
  const text = mlmodel.signature?.inputs;
  if (text === null || text === undefined) return unnamed;
  const columns = columnsSchema.safeParse(jsonOf(text, problems));
  if (!columns.success || columns.data.some(({ type }) => type === 'tensor')) return unnamed;
  return columns.data.map(({ name, type, required = true }, index) => {
    const known = TYPES[type];
    const isText = elements[index] === 'string';
    if (known === undefined || (known === 'string') !== isText) {
      problems.push(`its column ${name ?? index} is ${type}, the graph takes ${elements[index] ?? 'no such column'}`);
    }
    return { name: name ?? `f${index}`, type: known ?? 'double', required };
  });
}

const COLUMN_TYPES: Readonly<Record<OnnxElement, ColumnType>> = {
  ...{ float32: 'double', float64: 'double', int32: 'long', int64: 'long', bool: 'boolean', string: 'string' },
};
