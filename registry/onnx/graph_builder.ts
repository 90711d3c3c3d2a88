import { ModelProto, ONNX_FLOAT } from './onnx_proto.ts';

/** IR that every onnxruntime since 1.15 takes, and its opset. */
const IR_VERSION = 8;
const OPSET = 17;
/** AttributeProto.AttributeType. */
const TYPES = { INT: 2, STRING: 3, FLOATS: 6, INTS: 7, STRINGS: 8 } as const;

/** A value of an attribute: an integer, a string, or lists of them; a list of floats is a Float32Array. */
export type AttributeValue = number | string | Float32Array | readonly number[] | readonly string[];

/** Writes a graph with one input and one output, FP32 [N, columns] both. */
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

  /** Adds FP32 values that are part of the graph; returns their name. */
  constant(name: string, dims: readonly number[], data: Float32Array): string {
    const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#initializers.push({ name, dims, dataType: ONNX_FLOAT, rawData });
    return name;
  }

  /** Adds FP32 [1, columns]; returns its name. */
  row(name: string, data: Float32Array): string {
    return this.constant(name, [1, data.length], data);
  }

  /** Returns the bytes of the file. */
  encode(
    graph: { readonly name: string; readonly input: GraphValue; readonly output: GraphValue },
    producerVersion: string,
  ): Uint8Array {
    const message = ModelProto.fromObject({
      ...{ irVersion: IR_VERSION, producerName: 'headwater', producerVersion },
      opsetImport: [...this.#domains].map(([domain, version]) => ({ domain, version })),
      graph: {
        ...{ name: graph.name, node: this.#nodes, initializer: this.#initializers },
        ...{ input: [valueInfo(graph.input)], output: [valueInfo(graph.output)] },
      },
    });
    return ModelProto.encode(message).finish();
  }
}

interface GraphValue {
  readonly name: string;
  readonly columns: number;
}

const valueInfo = ({ name, columns }: GraphValue): object => ({
  name,
  type: { tensorType: { elemType: ONNX_FLOAT, shape: { dim: [{ dimParam: 'N' }, { dimValue: columns }] } } },
});

function attributeOf(name: string, value: AttributeValue): object {
  if (typeof value === 'number') return { name, type: TYPES.INT, i: value };
  if (typeof value === 'string') return { name, type: TYPES.STRING, s: Buffer.from(value) };
  if (value instanceof Float32Array) return { name, type: TYPES.FLOATS, floats: Array.from(value) };
  return typeof value[0] === 'string'
    ? { name, type: TYPES.STRINGS, strings: (value as readonly string[]).map((each) => Buffer.from(each)) }
    : { name, type: TYPES.INTS, ints: value };
}
