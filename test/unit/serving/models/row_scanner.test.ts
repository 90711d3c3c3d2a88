import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ModelSignature } from '#registry/packages/model_package';
import { createEncoder } from '#registry/packages/signature_encoder';
import { RowScanner } from '#serving/models/row_scanner';

const signature: ModelSignature = {
  inputs: [
    { name: 'amount', type: 'double', required: true },
    { name: 'count', type: 'long', required: false, missing: -1 },
    { name: 'weekend', type: 'boolean', required: false },
    { name: 'country', type: 'string', required: false, categories: { DE: 1, 'ü"x': 2 }, unknownCategory: 0 },
    { name: 'größe', type: 'double', required: false },
  ],
  task: 'regression',
  classes: [],
  onnx: { input: 'x', output: 'y' },
};
const encoder = createEncoder(signature);
const scanner = new RowScanner(encoder);

/** As it is done without the scanner; undefined: refused. */
function plainly(text: string): number[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined;
  const into = new Float32Array(encoder.width);
  return encoder.encode(parsed as Record<string, unknown>, into, 0) === undefined ? [...into] : undefined;
}

function scanned(text: string): number[] | undefined {
  const into = new Float32Array(encoder.width + 2).fill(7);
  const bytes = Buffer.from(text);
  scanner.open(bytes);
  const end = scanner.scan(0, into, 1);
  expect([into[0], into.at(-1)]).toEqual([7, 7]);
  return end === bytes.length ? [...into.subarray(1, -1)] : undefined;
}

const value = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
  fc.constantFrom('DE', 'FR', 'ü"x', '', '\\'),
  fc.constant([1]),
  fc.constant({}),
);
const key = fc.constantFrom('amount', 'count', 'weekend', 'country', 'größe', 'colour', 'am\\ount');

test('what it reads is what parsing and encoding give, whatever the text', () => {
  const object = fc.dictionary(key, value, { maxKeys: 6 });
  fc.assert(
    fc.property(object, fc.constantFrom(undefined, 1, '\t'), (row, space) => {
      const text = JSON.stringify(row, null, space);
      const found = scanned(text);
      // It may give up; it never reads anything else.
      if (found !== undefined) expect(found).toEqual(plainly(text));
    }),
    { numRuns: 2_000 },
  );
});

test('it does not give up on what callers send: any order, spaces, missing columns, all kinds of numbers', () => {
  const numbers = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.double({ min: -1e6, max: 1e6, noNaN: true }).map((number) => Number(number.toFixed(4))),
    fc.integer(),
  );
  const row = fc.record(
    {
      amount: numbers,
      count: fc.oneof(fc.integer(), fc.constant(null)),
      weekend: fc.oneof(fc.boolean(), fc.constant(null)),
      country: fc.constantFrom('DE', 'FR', null),
      größe: fc.oneof(numbers, fc.constant(null)),
    },
    { requiredKeys: ['amount'] },
  );
  fc.assert(
    fc.property(row, fc.boolean(), fc.constantFrom(undefined, 2), (values, isTurned, space) => {
      const entries = Object.entries(values);
      const text = JSON.stringify(Object.fromEntries(isTurned ? entries.reverse() : entries), null, space);
      expect(scanned(text)).toEqual(plainly(text));
    }),
    { numRuns: 2_000 },
  );
});

test.each([
  '{"amount":01}',
  '{"amount":1.}',
  '{"amount":.5}',
  '{"amount":1e}',
  '{"amount":+1}',
  '{"amount":--1}',
  '{"amount":1e999}',
  '{"amount":1,}',
  '{"amount":1 "count":1}',
  '{"amount":1,"amount":2}',
  '{"amount":1,"count":1.5}',
  '{"amount":"1"}',
  '{"count":1}',
  '{amount:1}',
  '{"amount":1',
  '{"amount":truex}',
  '{"amount":1,"weekend":constructor}',
  '{"amount":1,"country":"D\nE"}',
  '[1]',
  '',
])('it gives up on %s', (text) => {
  expect(scanned(text)).toBeUndefined();
});
