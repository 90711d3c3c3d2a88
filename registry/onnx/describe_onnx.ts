import { messageOf } from '#kernel/errors';
import { InvalidModelError } from '../errors.ts';
import type { GraphSpec, TensorSpec } from '../graphs/typed_tensor.ts';
import { ModelProto, ONNX_ELEMENTS } from './onnx_proto.ts';

/** An input or output of a graph. */
export interface OnnxValue {
  readonly name: string;
  /** TensorProto.DataType; undefined for what is no tensor, such as a list of maps. */
  readonly elementType: number | undefined;
  /** Whether the file says how many dimensions it has. */
  readonly hasShape: boolean;
  /** A name, or undefined, where it may be any number. */
  readonly dims: readonly (number | string | undefined)[];
}

export interface OnnxDescription {
  readonly producer: string;
  /** Of ONNX's own operators. */
  readonly opset: number | undefined;
  /** Of others, by domain. */
  readonly domains: readonly string[];
  /** Without those that have a value in the file. */
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

interface WireValue {
  readonly name: string;
  readonly type?: {
    readonly tensorType?: {
      readonly elemType?: number;
      readonly shape?: { readonly dim?: readonly { readonly dimValue?: number; readonly dimParam?: string }[] };
    };
  };
}

interface WireNode {
  readonly opType?: string;
  readonly output?: readonly string[];
  readonly attribute?: readonly { readonly name?: string; readonly i?: number }[];
}

interface WireModel {
  readonly producerName?: string;
  readonly opsetImport?: readonly { readonly domain?: string; readonly version?: number }[];
  readonly graph?: {
    readonly node?: readonly WireNode[];
    readonly initializer?: readonly { readonly name: string }[];
    readonly input?: readonly WireValue[];
    readonly output?: readonly WireValue[];
  };
}

/** What a model's file says of itself. @throws {@link InvalidModelError} when it is no ONNX */
export function describeOnnx(onnx: Uint8Array): OnnxDescription {
  let wire: WireModel;
  try {
    wire = ModelProto.toObject(ModelProto.decode(onnx), { longs: Number }) as WireModel;
  } catch (error) {
    throw new InvalidModelError([`it is no ONNX file: ${messageOf(error)}`], error);
  }
  if (wire.graph === undefined) throw new InvalidModelError(['it is no ONNX file: it has no graph']);
  const { opsetImport: imports = [] } = wire;
  const { node: nodes = [], initializer = [], input = [], output = [] } = wire.graph;
  const given = new Set(initializer.map(({ name }) => name));
  return {
    producer: wire.producerName ?? '',
    opset: imports.find(({ domain = '' }) => domain === '' || domain === 'ai.onnx')?.version,
    domains: imports.flatMap(({ domain = '' }) => (domain === '' || domain === 'ai.onnx' ? [] : [domain])),
    inputs: input.filter(({ name }) => !given.has(name)).map(describedValue),
    outputs: output.map((value) => withTargets(describedValue(value), nodes)),
  };
}

/** skl2onnx writes [rows, 1] for forests of several values: how many there are is an attribute of the trees. */
function withTargets(value: OnnxValue, nodes: readonly WireNode[]): OnnxValue {
  const trees = nodes.find(({ opType, output }) => {
    return opType === 'TreeEnsembleRegressor' && output?.includes(value.name) === true;
  });
  const targets = trees?.attribute?.find(({ name }) => name === 'n_targets')?.i;
  return targets === undefined || value.dims.length !== 2 ? value : { ...value, dims: [value.dims[0], targets] };
}

const describedValue = ({ name, type }: WireValue): OnnxValue => ({
  name,
  elementType: type?.tensorType?.elemType,
  hasShape: type?.tensorType?.shape !== undefined,
  dims: (type?.tensorType?.shape?.dim ?? []).map(({ dimValue, dimParam }) =>
    dimValue !== undefined && dimValue > 0 ? dimValue : dimParam === '' ? undefined : dimParam,
  ),
});

/**
 * Returns the inputs and outputs that a caller sees. Outputs that are no tensors are named apart.
 *
 * @throws {@link InvalidModelError} for an input of a type that is not supported, naming it
 */
export function graphSpecOf({ inputs, outputs }: Pick<OnnxDescription, 'inputs' | 'outputs'>): GraphSpec {
  const problems: string[] = [];
  const specOf = ({ name, elementType, dims, hasShape }: OnnxValue): TensorSpec | undefined => {
    const type = ONNX_ELEMENTS[elementType as keyof typeof ONNX_ELEMENTS];
    return type === undefined ? undefined : { name, type, dims, ...(hasShape ? {} : { isAnyRank: true }) };
  };
  const taken = inputs.flatMap((input) => {
    const spec = specOf(input);
    if (spec !== undefined) return [spec];
    const what = input.elementType === undefined ? 'no tensor' : `a tensor of ONNX's type ${input.elementType}`;
    problems.push(`its input "${input.name}" is ${what}: float16 to float64, integers, bool and string are supported`);
    return [];
  });
  if (problems.length > 0) throw new InvalidModelError(problems);
  return {
    inputs: taken,
    outputs: outputs.flatMap((output) => specOf(output) ?? []),
    unreadable: outputs.flatMap((output) => (specOf(output) === undefined ? [output.name] : [])),
  };
}
