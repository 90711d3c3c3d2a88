import { parse } from 'yaml';
import { z } from 'zod';
import { InvalidModelError } from '../errors.ts';
import type { ColumnType, InputColumn, ModelPackage, ModelSignature } from '../model_package.ts';
import { describeOnnx, type OnnxDescription, type OnnxValue } from '../onnx/describe_onnx.ts';
import { ONNX_FLOAT } from '../onnx/onnx_proto.ts';

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
};

/** @throws {@link InvalidModelError} when MLmodel has no onnx flavor */
export function readMlmodel(text: string): { readonly mlmodel: Mlmodel; readonly onnxFile: string } {
  const parsed = mlmodelSchema.safeParse(parse(text));
  const onnx = parsed.data?.flavors.onnx;
  if (!parsed.success || onnx === undefined) {
    throw new InvalidModelError(['it has no onnx flavor: log it with mlflow.onnx.log_model']);
  }
  return { mlmodel: parsed.data, onnxFile: onnx.data };
}

/**
 * Columns: of `metadata.columns`, of a signature with named columns, or f0, f1, … Classes: of `metadata.classes`, or 0, 1, …
 *
 * @throws {@link InvalidModelError} listing what serving could not do with it
 */
export function packageOfForeign(mlmodel: Mlmodel, onnx: Uint8Array): ModelPackage {
  const problems: string[] = [];
  const described = describeOnnx(onnx);
  const input = inputOf(described, problems);
  const output = outputOf(described, problems);
  const width = input?.dims[1];
  const inputs = columnsOf(mlmodel, width, problems);
  if (width !== undefined && inputs.length !== width) {
    problems.push(`it takes ${width} columns, and ${inputs.length} are named`);
  }
  if (problems.length > 0 || input === undefined || output === undefined) throw new InvalidModelError(problems);
  return {
    onnx,
    examples: [],
    signature: {
      inputs,
      ...taskOf(output, mlmodel.metadata?.classes),
      ...(mlmodel.metadata?.threshold === undefined ? {} : { threshold: mlmodel.metadata.threshold }),
      onnx: { input: input.name, output: output.name },
      ...(mlmodel.metadata?.feature_service === undefined
        ? {}
        : { featureService: { service: mlmodel.metadata.feature_service } }),
    },
  };
}

const isMatrix = ({ elementType, dims }: OnnxValue): boolean => elementType === ONNX_FLOAT && dims.length === 2;

function inputOf({ inputs }: OnnxDescription, problems: string[]): OnnxValue | undefined {
  const [only, ...others] = inputs;
  if (only !== undefined && others.length === 0 && isMatrix(only) && only.dims[1] !== undefined) return only;
  const names = inputs.map(({ name }) => name).join(', ');
  problems.push(`it takes ${names}: one FP32 tensor [rows, columns] is what can be fed`);
  return undefined;
}

/** Probabilities, where there are labels as well; values of a regression may be [rows] or [rows, 1]. */
function outputOf({ outputs }: OnnxDescription, problems: string[]): OnnxValue | undefined {
  const usable = outputs.filter(
    (output) => isMatrix(output) || (output.elementType === ONNX_FLOAT && output.dims.length === 1),
  );
  const chosen = usable.find(({ name }) => name.includes('prob')) ?? usable[0];
  if (chosen !== undefined) return chosen;
  const names = outputs.map(({ name }) => name).join(', ');
  problems.push(`its outputs ${names} are no FP32 tensor: convert classifiers with zipmap=False`);
  return undefined;
}

function taskOf({ dims }: OnnxValue, named: readonly string[] | undefined): Pick<ModelSignature, 'task' | 'classes'> {
  const count = named?.length ?? dims[1] ?? 1;
  if (count === 1) return { task: 'regression', classes: [] };
  const classes = named ?? Array.from({ length: count }, (_, index) => String(index));
  return { task: count === 2 ? 'binary_classification' : 'multiclass_classification', classes };
}

function columnsOf(mlmodel: Mlmodel, width: number | undefined, problems: string[]): readonly InputColumn[] {
  const plain = (name: string): InputColumn => ({ name, type: 'double', required: false });
  const told = mlmodel.metadata?.columns;
  if (told !== undefined) return told.map(plain);
  const unnamed = Array.from({ length: width ?? 0 }, (_, index) => plain(`f${index}`));
  const text = mlmodel.signature?.inputs;
  if (text === null || text === undefined) return unnamed;
  const columns = columnsSchema.safeParse(JSON.parse(text));
  if (!columns.success || columns.data.some(({ type }) => type === 'tensor')) return unnamed;
  return columns.data.map(({ name, type, required = true }, index) => {
    const known = TYPES[type];
    if (known === undefined)
      problems.push(`its column ${name ?? index} is ${type}: numbers and truth values can be fed`);
    return { name: name ?? `f${index}`, type: known ?? 'double', required };
  });
}
