import { parseExactJsonBytes } from '#kernel/exact/exact_json';
import { listed } from '#kernel/problem_list';
import { type NamedTensors, sizeOf, type TypedTensor } from '#registry/graphs/typed_tensor';
import { InvalidRequestError } from '../../errors.ts';
import type { Features } from '../../inference/predictor.ts';
import { isObject } from '../requests.ts';
import { type TensorHead, tensorFromBytes, tensorFromJson, typeOf } from './tensor_codec.ts';

/** An output that a request names. */
export interface RequestedOutput {
  readonly name: string;
  readonly isBinary: boolean;
}

/** A request of the Open Inference Protocol, whichever way it came. */
export interface InferRequest {
  readonly id: string | undefined;
  readonly parameters: Features;
  readonly inputs: NamedTensors;
  /** undefined: all of them. */
  readonly outputs: readonly RequestedOutput[] | undefined;
  /** Whether outputs that are not named are given as bytes. */
  readonly isBinary: boolean;
}

/** As the ids of requests in a header. */
const LONGEST_ID = 128;
export const BINARY_HEADER = 'inference-header-content-length';
const WHOLE = /^\d{1,15}$/;
/** Extensions of Triton that are not supported: a request that has one is refused, not answered without it. */
const UNSUPPORTED = [
  ...['shared_memory_region', 'shared_memory_offset', 'shared_memory_byte_size', 'classification'],
  ...['sequence_id', 'sequence_start', 'sequence_end'],
];

/**
 * Reads a body: JSON, or with the binary tensor extension JSON and then the bytes of tensors.
 *
 * @param header - of the length of the JSON
 * @throws {@link InvalidRequestError}, {@link InvalidJsonError}
 */
export function readInferRequest(body: Buffer | undefined, header: string | undefined): InferRequest {
  if (body === undefined || body.length === 0) throw new InvalidRequestError('the body must be a JSON object');
  const jsonBytes = header === undefined ? body.length : WHOLE.test(header) ? Number(header) : Number.NaN;
  if (!(jsonBytes > 0 && jsonBytes <= body.length)) {
    throw new InvalidRequestError(
      `${BINARY_HEADER} must be the length of the JSON in the body, 1 to ${body.length}, not ${header}`,
    );
  }
  const parsed = parseExactJsonBytes(body.subarray(0, jsonBytes));
  if (!isObject(parsed)) throw new InvalidRequestError('the body must be a JSON object');
  return inferRequest(parsed, body.subarray(jsonBytes));
}

function inferRequest(body: Features, binary: Buffer): InferRequest {
  const { id, parameters = {}, inputs, outputs } = body;
  checkId(id);
  if (!isObject(parameters)) throw new InvalidRequestError('parameters must be an object');
  refuseUnsupported('the request', parameters);
  if (!Array.isArray(inputs) || inputs.length === 0) throw new InvalidRequestError('inputs must be a list of tensors');
  refuseRepeated('input', inputs);
  const tensors: Record<string, TypedTensor> = {};
  let at = 0;
  for (const [index, input] of (inputs as readonly unknown[]).entries()) {
    const { head, size, data } = readHead(input, `inputs.${index}`);
    if (size === undefined) tensors[head.name] = tensorFromJson(head, data);
    else {
      if (at + size > binary.length) {
        throw new InvalidRequestError(
          `input ${head.name} has the binary_data_size ${size}, and ${binary.length - at} bytes are left in the body`,
        );
      }
      tensors[head.name] = tensorFromBytes(head, binary.subarray(at, at + size));
      at += size;
    }
  }
  if (at !== binary.length) {
    throw new InvalidRequestError(`the body has ${binary.length - at} bytes that are of no input`);
  }
  const isBinary = flagOf('binary_data_output of the request', parameters.binary_data_output) ?? false;
  return { id, parameters, inputs: tensors, outputs: outputsOf(outputs, isBinary), isBinary };
}

export function checkId(id: unknown): asserts id is string | undefined {
  if (id === undefined || (typeof id === 'string' && id !== '' && id.length <= LONGEST_ID)) return;
  throw new InvalidRequestError(`id must be a string of 1 to ${LONGEST_ID} characters`);
}

function readHead(
  input: unknown,
  path: string,
): {
  readonly head: TensorHead;
  readonly size: number | undefined;
  readonly data: unknown;
} {
  const { name, shape, datatype, data, parameters = {} } = isObject(input) ? input : ({} as Features);
  if (typeof name !== 'string' || name === '' || !Array.isArray(shape) || datatype === undefined) {
    throw new InvalidRequestError(`${path} needs name, shape, datatype and data`);
  }
  if (!isObject(parameters)) throw new InvalidRequestError(`parameters of input ${name} must be an object`);
  refuseUnsupported(`input ${name}`, parameters);
  checkShape(name, shape);
  const head = { name, type: typeOf(name, datatype), dims: shape as number[] };
  const size = parameters.binary_data_size;
  if (size === undefined) {
    if (!Array.isArray(data)) throw new InvalidRequestError(`${path} needs name, shape, datatype and data`);
    return { head, size, data };
  }
  if (data !== undefined)
    throw new InvalidRequestError(`input ${name} has data and binary_data_size: send one of them`);
  if (!Number.isSafeInteger(size) || (size as number) < 0) {
    throw new InvalidRequestError(`binary_data_size of input ${name} must be a number of bytes`);
  }
  return { head, size: size as number, data };
}

/** More values than any body has bytes for. */
const MOST_VALUES = 2 ** 31;

/** @throws {@link InvalidRequestError} for what is no shape */
export function checkShape(name: string, shape: readonly unknown[]): void {
  if (!shape.every((part) => Number.isSafeInteger(part) && (part as number) > 0)) {
    throw new InvalidRequestError(`the shape of input ${name} must be integers above 0, rows first`);
  }
  if (sizeOf(shape as readonly number[]) > MOST_VALUES) {
    throw new InvalidRequestError(`the shape [${shape}] of input ${name} has more than ${MOST_VALUES} values`);
  }
}

function outputsOf(outputs: unknown, isBinary: boolean): readonly RequestedOutput[] | undefined {
  if (outputs === undefined) return undefined;
  const isNamed = (output: unknown): boolean => isObject(output) && typeof output.name === 'string';
  if (!Array.isArray(outputs) || !outputs.every(isNamed)) {
    throw new InvalidRequestError('outputs must be a list of objects with a name');
  }
  refuseRepeated('output', outputs);
  // None are named: all of them, as other servers of the protocol have it.
  if (outputs.length === 0) return undefined;
  return (outputs as readonly Features[]).map(({ name, parameters = {} }) => {
    if (!isObject(parameters)) throw new InvalidRequestError(`parameters of output ${name} must be an object`);
    refuseUnsupported(`output ${name}`, parameters);
    return {
      name: name as string,
      isBinary: flagOf(`binary_data of output ${name}`, parameters.binary_data) ?? isBinary,
    };
  });
}

/** @throws {@link InvalidRequestError} for a request of more than is supported */
export function refuseUnsupported(where: string, parameters: Features): void {
  for (const name of UNSUPPORTED) {
    const value = parameters[name];
    // As clients send them where they are not used.
    if (value === undefined || value === 0 || value === false) continue;
    throw new InvalidRequestError(`${where} has the parameter ${name}, which is not supported here`);
  }
}

function flagOf(what: string, value: unknown): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value;
  throw new InvalidRequestError(`${what} must be true or false`);
}

/** @throws {@link InvalidRequestError} for names that come twice: which of them counts would be a guess */
export function refuseRepeated(what: string, named: readonly unknown[]): void {
  const seen = new Set<unknown>();
  const repeated = new Set<string>();
  for (const each of named) {
    const name = isObject(each) ? each.name : each;
    if (typeof name === 'string' && seen.has(name)) repeated.add(name);
    seen.add(name);
  }
  if (repeated.size > 0) {
    throw new InvalidRequestError(`${what} ${listed([...repeated])} was sent more than once: send each name once`);
  }
}
