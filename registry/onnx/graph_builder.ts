import { ModelProto, ONNX_ELEMENTS, type OnnxElement } from './onnx_proto.ts';

/** Opset and IR that every onnxruntime since 1.15 takes. */
const OPSET = 17;
const IR_VERSION = 8;

const ATTRIBUTE_INT = 2;

const NUMBER_OF = Object.fromEntries(Object.entries(ONNX_ELEMENTS).map(([number, name]) => [name, Number(number)]));

/** Returns the number that TensorProto.DataType has for a type. */
export const onnxElementNumber = (element: OnnxElement): number => NUMBER_OF[element] as number;

/** A tensor of [N, columns]. */
interface RowTensor {
  readonly name: string;
  readonly element: OnnxElement;
  readonly columns: number;
}

/** Builds a graph of rows, node by node. */
export class OnnxGraphBuilder {
  readonly #nodes: object[] = [];
  readonly #initializers: object[] = [];

  /** Adds a node with one output, named as it. @returns the output's name */
  node(
    opType: string,
    input: readonly string[],
    output: string,
    attributes: Readonly<Record<string, number>> = {},
  ): string {
    this.#nodes.push({
      ...{ opType, name: output, input, output: [output] },
      attribute: Object.entries(attributes).map(([name, i]) => ({ name, i, type: ATTRIBUTE_INT })),
    });
    return output;
  }

  /** Adds a constant; bytes are booleans. @returns its name */
  constant(name: string, dims: readonly number[], data: Float32Array | Float64Array | Uint8Array): string {
    const element = data instanceof Float32Array ? 'float32' : data instanceof Float64Array ? 'float64' : 'bool';
    this.#initializers.push({
      ...{ name, dims, dataType: onnxElementNumber(element) },
      rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    });
    return name;
  }

  /** Adds a constant of [1, columns]. @returns its name */
  row(name: string, data: Float32Array | Float64Array | Uint8Array): string {
    return this.constant(name, [1, data.length], data);
  }

  /** Returns the model as ONNX bytes. */
  encode(
    name: string,
    producerVersion: string,
    { input, output }: { readonly input: RowTensor; readonly output: RowTensor },
  ): Uint8Array {
    const value = (tensor: RowTensor): object => ({
      name: tensor.name,
      type: {
        tensorType: {
          elemType: onnxElementNumber(tensor.element),
          shape: { dim: [{ dimParam: 'N' }, { dimValue: tensor.columns }] },
        },
      },
    });
    const message = ModelProto.fromObject({
      ...{ irVersion: IR_VERSION, producerName: 'headwater', producerVersion },
      opsetImport: [{ domain: '', version: OPSET }],
      graph: {
        ...{ name, node: this.#nodes, initializer: this.#initializers },
        ...{ input: [value(input)], output: [value(output)] },
      },
    });
    return ModelProto.encode(message).finish();
  }
}
