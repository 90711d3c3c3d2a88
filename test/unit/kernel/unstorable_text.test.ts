import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isStorable, MAX_NESTING, storable, unstorableTextIn } from '#kernel/text/unstorable_text';

/** Slow and obvious: any bad character in any text of the value's JSON. */
function hasBadText(value: unknown): boolean {
  if (typeof value === 'string') {
    return [...value].some((char) => char === '\0' || (char >= '\ud800' && char <= '\udfff' && char.length === 1));
  }
  if (Array.isArray(value)) return value.some(hasBadText);
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([name, field]) => hasBadText(name) || hasBadText(field));
}

const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom('a', '\0', '\ud800', '\udc00', '\ud83d\ude00', 'é') }),
);
const anyJson = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    anyText,
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(anyText, tie('value'), { maxKeys: 4 }),
  ),
})).value;

function nested(depth: number, leaf: unknown): unknown {
  let value = leaf;
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { in: value };
  return value;
}

describe('unstorable text', () => {
  it('is found exactly where a value has a bad character in a string or a name', () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        const found = unstorableTextIn(value);
        expect(found !== undefined).toBe(hasBadText(value));
        if (found !== undefined) expect(isStorable(`${found.path}${found.problem}`)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('is named by its path', () => {
    expect(unstorableTextIn({ a: { b: ['x', 'w\0b'] } })).toEqual({
      path: 'a.b[1]',
      problem: 'holds a NUL character (U+0000)',
    });
    expect(unstorableTextIn({ tags: [{ 'k\ud800': 1 }] })).toEqual({
      path: 'tags[0].k\ufffd',
      problem: 'has a name that holds half of a surrogate pair, which is not valid Unicode',
    });
    expect(unstorableTextIn('\udc00')?.path).toBe('');
  });

  it('is also what is nested too deep, and what holds itself', () => {
    expect(unstorableTextIn(nested(MAX_NESTING, 1))).toBeUndefined();
    expect(unstorableTextIn(nested(MAX_NESTING + 1, 1))?.problem).toMatch('500 levels');
    expect(unstorableTextIn(nested(200_000, 1))?.problem).toMatch('500 levels');
    const itself: Record<string, unknown> = {};
    itself.self = itself;
    expect(unstorableTextIn(itself)).toEqual({ path: 'self', problem: 'is nested more than 500 levels deep' });
  });

  it('is not searched for in what is no text', () => {
    expect(unstorableTextIn({ at: new Date(0), bytes: Buffer.from([0]), big: 1n, not: undefined })).toBeUndefined();
  });

  it('can be replaced', () => {
    fc.assert(fc.property(anyText, (text) => isStorable(storable(text))));
    expect(storable('fine 😀')).toBe('fine 😀');
  });
});
