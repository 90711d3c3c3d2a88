import { InvalidRequestError } from '../../errors.ts';

// Messages of ModelInfer as bodies of the REST protocol with binary tensors, and its answers as messages.

export interface Parameter {
  readonly parameter_choice?: string;
  readonly [choice: string]: unknown;
}

type Parameters = Readonly<Record<string, Parameter>>;

interface Contents {
  readonly bool_contents: readonly boolean[];
  readonly int_contents: readonly number[];
  readonly int64_contents: readonly string[];
  readonly uint_contents: readonly number[];
  readonly uint64_contents: readonly string[];
  readonly fp32_contents: readonly number[];
  readonly fp64_contents: readonly number[];
  readonly bytes_contents: readonly Uint8Array[];
}

interface InputTensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly string[];
  readonly parameters: Parameters;
  readonly contents?: Contents | null;
}

export interface ModelInferRequest {
  readonly model_name: string;
  readonly model_version: string;
  readonly id: string;
  readonly parameters: Parameters;
  readonly inputs: readonly InputTensor[];
  readonly outputs: readonly { readonly name: string; readonly parameters: Parameters }[];
  readonly raw_input_contents: readonly Uint8Array[];
}

/** Returns the body of the request, and how many of its bytes are JSON. @throws {@link InvalidRequestError} */
export function bodyOf(request: ModelInferRequest): { readonly body: Buffer; readonly jsonBytes: number } {
  const { id, inputs, outputs, raw_input_contents: raw } = request;
  if (raw.length > 0 && raw.length !== inputs.length) {
    throw new InvalidRequestError(
      `raw_input_contents has ${raw.length} tensors, and there are ${inputs.length} inputs`,
    );
  }
  const binary: Uint8Array[] = [];
  const tensors = inputs.map(({ name, datatype, shape, parameters, contents }, at) => {
    const given = raw[at];
    if (given !== undefined && Object.values(contents ?? {}).some(({ length }) => length > 0)) {
      throw new InvalidRequestError(`input ${name} has contents and raw contents: send one of them`);
    }
    const bytes = given ?? bytesOfContents(name, datatype, contents);
    binary.push(bytes);
    return {
      ...{ name, datatype, shape: shape.map(Number) },
      parameters: { ...plain(parameters), binary_data_size: bytes.length },
    };
  });
  const body = {
    ...(id === '' ? {} : { id }),
    parameters: { ...plain(request.parameters), binary_data_output: true },
    inputs: tensors,
    ...(outputs.length === 0
      ? {}
      : { outputs: outputs.map((each) => ({ name: each.name, parameters: plain(each.parameters) })) }),
  };
  const json = Buffer.from(JSON.stringify(body));
  return { body: Buffer.concat([json, ...binary]), jsonBytes: json.length };
}

const plain = (parameters: Parameters): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(parameters).map(([name, parameter]) => {
      const value = parameter[parameter.parameter_choice ?? ''];
      return [name, parameter.parameter_choice?.includes('int64') === true ? Number(value) : value];
    }),
  );

/** Contents by datatype, as the protocol has them: smaller integers are in those of 32 bits. */
const CONTENTS: Readonly<Record<string, readonly [field: keyof Contents, size: number]>> = {
  BOOL: ['bool_contents', 1],
  INT8: ['int_contents', 1],
  INT16: ['int_contents', 2],
  INT32: ['int_contents', 4],
  INT64: ['int64_contents', 8],
  UINT8: ['uint_contents', 1],
  UINT16: ['uint_contents', 2],
  UINT32: ['uint_contents', 4],
  UINT64: ['uint64_contents', 8],
  FP32: ['fp32_contents', 4],
  FP64: ['fp64_contents', 8],
  BYTES: ['bytes_contents', 0],
};

function bytesOfContents(name: string, datatype: string, contents: Contents | null | undefined): Buffer {
  const known = CONTENTS[datatype];
  if (known === undefined) {
    throw new InvalidRequestError(
      `input ${name} is ${datatype}, which has no contents of its own: send raw_input_contents`,
    );
  }
  const [field, size] = known;
  const other = Object.entries(contents ?? {}).find(([each, values]) => each !== field && values.length > 0);
  if (other !== undefined)
    throw new InvalidRequestError(`input ${name} is ${datatype}, and has ${other[0]}: send ${field}`);
  const values = contents?.[field] ?? [];
  if (datatype === 'BYTES') {
    return Buffer.concat(
      (values as readonly Uint8Array[]).flatMap((text) => {
        const length = Buffer.alloc(4);
        length.writeUInt32LE(text.length);
        return [length, text];
      }),
    );
  }
  const bytes = Buffer.alloc(values.length * size);
  for (const [at, value] of values.entries())
    write(bytes, at * size, datatype, value as number | string | boolean, name);
  return bytes;
}

function write(bytes: Buffer, at: number, datatype: string, value: number | string | boolean, name: string): void {
  const size = CONTENTS[datatype]?.[1] ?? 0;
  if (datatype === 'FP32') bytes.writeFloatLE(value as number, at);
  else if (datatype === 'FP64') bytes.writeDoubleLE(value as number, at);
  else if (datatype === 'INT64') bytes.writeBigInt64LE(BigInt(value), at);
  else if (datatype === 'UINT64') bytes.writeBigUInt64LE(BigInt(value), at);
  else {
    const number = Number(value);
    const isSigned = datatype.startsWith('INT');
    const most = 2 ** (size * 8 - (isSigned ? 1 : 0)) - 1;
    if (number > most || number < (isSigned ? -most - 1 : 0)) {
      throw new InvalidRequestError(`a value of input ${name} is ${number}: ${datatype} does not hold it`);
    }
    if (isSigned) bytes.writeIntLE(number, at, size);
    else bytes.writeUIntLE(number, at, size);
  }
}

interface InferAnswer {
  readonly model_name: string;
  readonly model_version: string;
  readonly id: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly outputs: readonly {
    readonly name: string;
    readonly datatype: string;
    readonly shape: readonly number[];
    readonly parameters: { readonly binary_data_size: number };
  }[];
}

/** Returns the message of an answer with binary tensors. */
export function messageOf(payload: Buffer, jsonBytes: number): object {
  const { outputs, parameters, ...head } = JSON.parse(payload.toString('utf8', 0, jsonBytes)) as InferAnswer;
  let at = jsonBytes;
  const raw = outputs.map(({ parameters: { binary_data_size: size } }) => {
    at += size;
    return payload.subarray(at - size, at);
  });
  return {
    ...head,
    parameters: Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, { string_param: value }])),
    outputs: outputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
    raw_output_contents: raw,
  };
}
