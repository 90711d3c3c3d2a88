import { tokensOf } from '../insights/text.ts';

/** Share of the words of two sentences that both have: above it they say the same. */
const SHARED = 0.6;

type Words = ReadonlySet<string>;
const wordsOf = (text: string): Words => new Set(tokensOf(text).map(({ word }) => word));

/** Returns what tells whether a sentence says nearly the same as one of `held`. */
export function nearTo(held: readonly string[]): (text: string) => boolean {
  const heldWords = held.map(wordsOf);
  return (text) => {
    const words = wordsOf(text);
    return heldWords.some((other) => {
      const shared = [...words].filter((word) => other.has(word)).length;
      return shared > 2 && shared > SHARED * (words.size + other.size - shared);
    });
  };
}
