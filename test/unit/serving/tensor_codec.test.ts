import { expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { arrayOf, type NumericArray, sizeOf, TENSOR_TYPES, type TypedTensor } from '#registry/graphs/typed_tensor';
import { DATATYPES, jsonOf } from '#serving/models/tensor_json';
import { bytesOf, tensorFromBytes, tensorFromJson, typeOf } from '#serving/protocol/open_inference/tensor_codec';

const dims = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 });

/** Any tensor: for numbers, of any bits. */
const tensors = fc.constantFrom(...TENSOR_TYPES).chain((type) =>
  dims.chain((shape): fc.Arbitrary<TypedTensor> => {
    const size = sizeOf(shape);
    const of = (data: TypedTensor['data']): TypedTensor => ({ type, dims: shape, data });
    if (type === 'string') {
      return fc.array(fc.string({ unit: 'grapheme' }), { minLength: size, maxLength: size }).map(of);
    }
    if (type === 'bool') {
      return fc
        .array(fc.boolean(), { minLength: size, maxLength: size })
        .map((values) => of(Uint8Array.from(values, Number)));
    }
    const Values = arrayOf(type);
    const bytes = size * Values.BYTES_PER_ELEMENT;
    return fc
      .uint8Array({ minLength: bytes, maxLength: bytes })
      .map((raw) => of(new (Values as new (buffer: ArrayBuffer) => NumericArray)(new Uint8Array(raw).buffer)));
  }),
);

test('bytes of any tensor come back bit by bit', async () => {
  await fc.assert(
    fc.property(tensors, (tensor) => {
      const { type, dims: shape } = tensor;
      const back = tensorFromBytes({ name: 'x', type, dims: shape }, bytesOf(tensor));
      expect(bytesOf(back)).toEqual(bytesOf(tensor));
      expect(back.data).toEqual(tensor.data);
    }),
    { numRuns: 500 },
  );
});

test('JSON of any tensor comes back with its values: NaN, infinities, all digits of 64 bits', async () => {
  await fc.assert(
    fc.property(tensors, (tensor) => {
      const { type, dims: shape } = tensor;
      // Digits beyond 2^53 as clients that read exactly have them: here as strings.
      const isBig = type === 'int64' || type === 'uint64';
      const parsed = isBig
        ? Array.from(tensor.data as BigInt64Array, String)
        : (JSON.parse(jsonOf(tensor)) as unknown[]);
      const back = tensorFromJson({ name: 'x', type, dims: shape }, parsed);
      expect(jsonOf(back)).toEqual(jsonOf(tensor));
      if (isBig) expect(JSON.parse(`[${jsonOf(tensor).slice(1, -1).replace(/-?\d+/g, '"$&"')}]`)).toEqual(parsed);
    }),
    { numRuns: 500 },
  );
});

test('bytes of another length are refused, whatever is cut off or added', async () => {
  await fc.assert(
    fc.property(tensors, fc.integer({ min: 1, max: 9 }), fc.boolean(), (tensor, count, isLonger) => {
      const bytes = bytesOf(tensor);
      const other = isLonger ? Buffer.concat([bytes, Buffer.alloc(count)]) : bytes.subarray(0, -count);
      fc.pre(other.length !== bytes.length);
      const { type, dims: shape } = tensor;
      expect(() => tensorFromBytes({ name: 'x', type, dims: shape }, other)).toThrow(/input x/);
    }),
  );
});

test.each([
  ['FP32', [1e39], /value 0 of input x is 1e\+39: FP32 takes numbers within/],
  ['FP16', [1, 65_520], /value 1 of input x is 65520: FP16 takes numbers within ±65504/],
  ['FP64', [null], /value 0 of input x is null: FP64 takes numbers/],
  ['INT8', [128], /INT8 takes integers from -128 to 127/],
  ['UINT8', [-1], /UINT8 takes integers from 0 to 255/],
  ['INT32', [1.5], /INT32 takes integers/],
  ['INT64', ['9223372036854775808'], /INT64 takes integers from -9223372036854775808 to 9223372036854775807/],
  ['UINT64', [-1], /UINT64 takes integers from 0 to 18446744073709551615/],
  ['BOOL', [1], /BOOL takes true and false/],
  ['BYTES', [1], /BYTES takes strings/],
])('%s does not hold %j', (datatype, data, reason) => {
  const type = typeOf('x', datatype);
  expect(DATATYPES[type]).toBe(datatype);
  expect(() => tensorFromJson({ name: 'x', type, dims: [data.length] }, data)).toThrow(reason);
});

test('datatypes that are not supported, and lists that are not nested as the shape says', () => {
  for (const datatype of ['BF16', 'FP8', 'fp32', '', 7, undefined])
    expect(() => typeOf('x', datatype)).toThrow(/supported: FP16/);
  const head = { name: 'x', type: 'float32', dims: [2, 2] } as const;
  expect(
    tensorFromJson(head, [
      [1, 2],
      [3, 4],
    ]).data,
  ).toEqual(Float32Array.of(1, 2, 3, 4));
  expect(tensorFromJson(head, [1, 2, 3, 4]).data).toEqual(Float32Array.of(1, 2, 3, 4));
  for (const data of [
    [[1, 2, 3], [4]],
    [
      [[1], [2]],
      [[3], [4]],
    ],
    [1, 2, [3, 4]],
    [[1, 2, 3, 4]],
  ]) {
    expect(() => tensorFromJson(head, data)).toThrow(/not nested as its shape \[2,2\] says/);
  }
});
