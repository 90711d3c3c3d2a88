import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MAX_EVENT_TIME, MIN_EVENT_TIME } from '#kernel/time';
import { GLOBAL_WINDOW, Window } from '#pipelines/engine/windowing/window';
import { ByteReader, ByteWriter } from '#pipelines/model/coders/bytes';
import type { AnyCoder } from '#pipelines/model/coders/coder';
import { createCoder } from '#pipelines/model/coders/from_proto';
import {
  BytesCoder,
  IntervalWindowCoder,
  KvCoder,
  StringUtf8Coder,
  VarIntCoder,
  WindowedValueCoder,
} from '#pipelines/model/coders/standard_coders';
import { KeyCoder, ValueCoder } from '#pipelines/model/coders/value_coder';
import { readTime, writeTime } from '#pipelines/model/coders/wire_time';

const encode = (coder: AnyCoder, value: unknown, nested = true): Uint8Array => {
  const out = new ByteWriter(1);
  coder.encode(value, out, nested);
  return out.finish();
};
const roundTrip = (coder: AnyCoder, value: unknown): unknown =>
  coder.decode(new ByteReader(encode(coder, value)), true);

test('any JSON comes back from the value coder and from the key coder', () => {
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
      expect(roundTrip(new ValueCoder(), value)).toEqual(value);
    }),
  );
});

test('equal keys have equal bytes', () => {
  const coder = new KeyCoder();
  expect(encode(coder, { a: 1, b: { c: [1, 2], d: null } })).toEqual(
    encode(coder, { b: { d: null, c: [1, 2] }, a: 1 }),
  );
  expect(encode(coder, 1)).toEqual(encode(coder, 0.5 + 0.5));
  expect(encode(coder, '1')).not.toEqual(encode(coder, 1));
  expect(encode(coder, 5n)).toEqual(encode(coder, 5));
  expect(encode(coder, -0)).toEqual(encode(coder, 0));
  expect(roundTrip(coder, { id: 2n ** 60n })).toEqual({ id: 2n ** 60n });
  expect(roundTrip(coder, Uint8Array.of(1, 0, 255))).toEqual(Uint8Array.of(1, 0, 255));
  for (const [none, problem] of [
    [new Map([[1, 2]]), /Map/],
    [new Set([1]), /Set/],
    [{ a: Number.NaN }, /\.a is NaN/],
    [Number.POSITIVE_INFINITY, /Infinity/],
    [new Date(0), /Date/],
  ] as const)
    expect(() => encode(coder, none)).toThrow(problem);
});

test('64-bit integers are exact: numbers where they can be, otherwise bigints', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
      const back = roundTrip(new VarIntCoder(), value) as number | bigint;
      expect(BigInt(back)).toBe(value);
      expect(typeof back).toBe(Number.isSafeInteger(Number(value)) ? 'number' : 'bigint');
    }),
  );
});

test('times keep their order as bytes, up to the ends of time', () => {
  const bytesOf = (time: number): Buffer => {
    const out = new ByteWriter();
    writeTime(time, out);
    expect(readTime(new ByteReader(out.finish()))).toBe(time);
    return Buffer.from(out.finish());
  };
  const time = fc.oneof(
    fc.integer({ min: -8.64e15, max: 8.64e15 }),
    fc.integer({ min: 0, max: 1e8 }).map((near) => MAX_EVENT_TIME - near),
    fc.integer({ min: 0, max: 1e8 }).map((near) => MIN_EVENT_TIME + near),
  );
  fc.assert(
    fc.property(time, time, (a, b) => {
      expect(Math.sign(Buffer.compare(bytesOf(a), bytesOf(b)))).toBe(Math.sign(a - b));
    }),
  );
});

test('windowed values come back with their windows and pane', () => {
  const coder = new WindowedValueCoder(new KvCoder(new StringUtf8Coder(), new ValueCoder()), new IntervalWindowCoder());
  const value = {
    value: { key: 'a', value: { n: 1.5 } },
    timestamp: 12_345,
    windows: [new Window(10_000, 20_000)],
    pane: { timing: 'LATE', index: 3, onTimeIndex: 1, isFirst: false, isLast: true },
  };
  expect(roundTrip(coder, value)).toEqual(value);
  expect(GLOBAL_WINDOW.maxTimestamp()).toBeLessThan(MAX_EVENT_TIME);
});

test('bytes cut short say so', () => {
  expect(() => new BytesCoder().decode(new ByteReader(Uint8Array.of(5, 1)), true)).toThrow(/cut short/);
});

test('a coder that is not known is named, with those that are', () => {
  expect(() => createCoder('beam:coder:nothing:v1', [], new Uint8Array())).toThrow(
    /beam:coder:nothing:v1 is not known.*varint/,
  );
});
