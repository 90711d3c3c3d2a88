import fc from 'fast-check';

const NAMES = ['toString', 'valueOf', 'toJSON', 'constructor', 'length', 'then', 'name'];

/** JSON values whose own members stand where JavaScript looks for functions: `String({ toString: 1 })` throws. */
export const hostileValues: fc.Arbitrary<unknown> = fc
  .dictionary(
    fc.constantFrom(...NAMES),
    fc.oneof(fc.constant(1), fc.constant(null), fc.constant([]), fc.constant({})),
    {
      minKeys: 1,
      noNullPrototype: true,
    },
  )
  .chain((value) => fc.constantFrom<unknown>(value, [value], [[value]], { nested: value }));
