import { ModelProto, ONNX_ELEMENTS, type OnnxElement } from './onnx_proto.ts';

/** IR that every onnxruntime since 1.15 takes, and its opset. */
const IR_VERSION = 8;
const OPSET = 17;
/** AttributeProto.AttributeType. */
const TYPES = { INT: 2, STRING: 3, FLOATS: 6, INTS: 7, STRINGS: 8 } as const;

const NUMBER_OF = Object.fromEntries(Object.entries(ONNX_ELEMENTS).map(([number, name]) => [name, Number(number)]));

/** Returns the number that TensorProto.DataType has for a type. */
const numberOf = (element: OnnxElement): number => NUMBER_OF[element] as number;

/** Values of a constant; bytes are booleans. */
type ConstantData = Float32Array | Float64Array | Uint8Array;

/** A value of an attribute: an integer, a string, or lists of them; a list of floats is a Float32Array. */
export type AttributeValue = number | string | Float32Array | readonly number[] | readonly string[];

/** Writes a graph with one input and one output, [N, columns] both. */
export class GraphBuilder {
  readonly #nodes: object[] = [];
  readonly #initializers: object[] = [];
  readonly #domains = new Map<string, number>([['', OPSET]]);

  /** Adds a node with one output that has its name, or with those that are given; returns the last of them. */
  node(
    opType: string,
    input: readonly string[],
    output: string | readonly string[],
    attributes: Readonly<Record<string, AttributeValue>> = {},
    domain: { readonly name: string; readonly version: number } = { name: '', version: OPSET },
  ): string {
    const outputs = [output].flat();
    const name = outputs.at(-1) as string;
    this.#domains.set(domain.name, domain.version);
    this.#nodes.push({
      ...{ opType, name, input, output: outputs, domain: domain.name },
      attribute: Object.entries(attributes).map(([key, value]) => attributeOf(key, value)),
    });
    return name;
  }

  /** Adds values that are part of the graph; returns their name. */
  constant(name: string, dims: readonly number[], data: ConstantData): string {
    const element = data instanceof Float32Array ? 'float32' : data instanceof Float64Array ? 'float64' : 'bool';
    const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#initializers.push({ name, dims, dataType: numberOf(element), rawData });
    return name;
  }

  /** Adds values of [1, columns]; returns their name. */
  row(name: string, data: ConstantData): string {
    return this.constant(name, [1, data.length], data);
  }

  /** Returns the bytes of the file. */
  encode(
    name: string,
    producerVersion: string,
    { input, output }: { readonly input: GraphValue; readonly output: GraphValue },
  ): Uint8Array {
    const message = ModelProto.fromObject({
      ...{ irVersion: IR_VERSION, producerName: 'headwater', producerVersion },
      opsetImport: [...this.#domains].map(([domain, version]) => ({ domain, version })),
      graph: {
        ...{ name, node: this.#nodes, initializer: this.#initializers },
        ...{ input: [valueInfo(input)], output: [valueInfo(output)] },
      },
    });
    return ModelProto.encode(message).finish();
  }
}

interface GraphValue {
  readonly name: string;
  /** Default: float32. */
  readonly element?: OnnxElement;
  readonly columns: number;
}

const valueInfo = ({ name, element = 'float32', columns }: GraphValue): object => ({
  name,
  type: { tensorType: { elemType: numberOf(element), shape: { dim: [{ dimParam: 'N' }, { dimValue: columns }] } } },
});

function attributeOf(name: string, value: AttributeValue): object {
  if (typeof value === 'number') return { name, type: TYPES.INT, i: value };
  if (typeof value === 'string') return { name, type: TYPES.STRING, s: Buffer.from(value) };
  if (value instanceof Float32Array) return { name, type: TYPES.FLOATS, floats: Array.from(value) };
  return typeof value[0] === 'string'
    ? { name, type: TYPES.STRINGS, strings: (value as readonly string[]).map((each) => Buffer.from(each)) }
    : { name, type: TYPES.INTS, ints: value };
}
