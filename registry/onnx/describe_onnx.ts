import { messageOf } from '#kernel/errors';
import { InvalidModelError } from '../errors.ts';
import { ModelProto } from './onnx_proto.ts';

/** An input or output of a graph. */
export interface OnnxValue {
  readonly name: string;
  /** TensorProto.DataType; undefined for what is no tensor, such as a list of maps. */
  readonly elementType: number | undefined;
  /** undefined where it may be any number. */
  readonly dims: readonly (number | undefined)[];
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
      readonly shape?: { readonly dim?: readonly { readonly dimValue?: number }[] };
    };
  };
}

interface WireModel {
  readonly producerName?: string;
  readonly opsetImport?: readonly { readonly domain?: string; readonly version?: number }[];
  readonly graph?: {
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
  const { initializer = [], input = [], output = [] } = wire.graph;
  const given = new Set(initializer.map(({ name }) => name));
  return {
    producer: wire.producerName ?? '',
    opset: imports.find(({ domain = '' }) => domain === '' || domain === 'ai.onnx')?.version,
    domains: imports.flatMap(({ domain = '' }) => (domain === '' || domain === 'ai.onnx' ? [] : [domain])),
    inputs: input.filter(({ name }) => !given.has(name)).map(describedValue),
    outputs: output.map(describedValue),
  };
}

const describedValue = ({ name, type }: WireValue): OnnxValue => ({
  name,
  elementType: type?.tensorType?.elemType,
  dims: (type?.tensorType?.shape?.dim ?? []).map(({ dimValue }) =>
    dimValue === undefined || dimValue <= 0 ? undefined : dimValue,
  ),
});
