import { InvalidModelError } from '../errors.ts';
import { type NamedTensors, type NumericArray, sizeOf, type TypedTensor } from './typed_tensor.ts';

/** Returns one row of each tensor, with a first dimension of 1. */
export function rowOf(tensors: NamedTensors, row: number): NamedTensors {
  const own: Record<string, TypedTensor> = {};
  for (const [name, { type, dims, data }] of Object.entries(tensors)) {
    const size = sizeOf(dims.slice(1));
    own[name] = { type, dims: [1, ...dims.slice(1)], data: data.slice(row * size, (row + 1) * size) };
  }
  return own;
}

/** Returns tensors of one row each as one of all rows. @throws {@link InvalidModelError} for an output that is not of rows */
export function joined(parts: readonly NamedTensors[], names: readonly string[]): NamedTensors {
  const all: Record<string, TypedTensor> = {};
  for (const name of names) {
    const tensors = parts.map((part) => part[name]).filter((tensor) => tensor !== undefined);
    const [first] = tensors;
    if (first === undefined) continue;
    if (tensors.some(({ dims }) => dims[0] !== 1 || String(dims) !== String(first.dims))) {
      throw new InvalidModelError([
        `its output "${name}" has the shape [${first.dims}] for one row: send one row at a time`,
      ]);
    }
    const dims = [tensors.length, ...first.dims.slice(1)];
    all[name] = { type: first.type, dims, data: dataOf(tensors) };
  }
  return all;
}

function dataOf(tensors: readonly TypedTensor[]): TypedTensor['data'] {
  const [first] = tensors as readonly [TypedTensor];
  if (first.type === 'string') return tensors.flatMap(({ data }) => data as readonly string[]);
  const size = first.data.length;
  const joinedData = new (first.data.constructor as new (size: number) => NumericArray)(tensors.length * size);
  for (const [at, { data }] of tensors.entries()) joinedData.set(data as never, at * size);
  return joinedData;
}
