/** A word of a normalised text, and where it is in the original. */
export interface Token {
  readonly word: string;
  readonly start: number;
  readonly end: number;
}

/** Without accents and case; three or more equal letters become two. */
export const normalise = (text: string): string =>
  text
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '')
    .replace(/[’`´]/g, "'")
    .toLowerCase()
    .replace(/œ/g, 'oe')
    .replace(/(\p{L})\1{2,}/gu, '$1$1');

/** Returns the words of a text, normalised; French and English elisions ("j'ai", "don't") stay one word without the apostrophe's side being lost. */
export function tokensOf(text: string): readonly Token[] {
  return [...text.matchAll(/[\p{L}\p{M}\p{N}'’]+|[.,;:!?()¿¡]/gu)].map((match) => ({
    word: normalise(match[0]),
    start: match.index,
    end: match.index + match[0].length,
  }));
}
