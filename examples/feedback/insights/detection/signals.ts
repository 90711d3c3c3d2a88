import { CONCERNS, type Concern, type Lexicon, type Topic } from '../lexicons/lexicon.ts';
import { normalise, type Token, tokensOf } from '../text.ts';

/** A phrase of the lexicon in a text. */
export interface Hit {
  readonly concern: Concern;
  /** As the text has it. */
  readonly words: string;
  /** A negation, a relief or an idiom takes it back. */
  readonly isTakenBack: boolean;
}

export interface Signals {
  readonly hits: readonly Hit[];
  /** Phrases that mean harm by themselves and are not negated. */
  readonly certain: readonly string[];
  readonly isQuestion: boolean;
  readonly hasNegation: boolean;
  readonly hasRelief: boolean;
  readonly hasIdiom: boolean;
  /** Words of praise and of blame; a negated word of one counts as one of the other. */
  readonly praise: number;
  readonly blame: number;
  /** Words about each topic that is named. */
  readonly topics: ReadonlyMap<Topic, number>;
}

export const NO_SIGNALS: Signals = {
  ...{ hits: [], certain: [], isQuestion: false, hasNegation: false, hasRelief: false, hasIdiom: false },
  ...{ praise: 0, blame: 0, topics: new Map() },
};

/** Words after a negation that it takes back. */
const NEGATION_REACH = 5;
/** Characters between a symptom and a relief that takes it back. */
const RELIEF_REACH = 40;

interface Compiled {
  readonly concerns: readonly (readonly [Concern, RegExp])[];
  readonly certain: RegExp;
  readonly negations: ReadonlySet<string>;
  readonly contrasts: ReadonlySet<string>;
  readonly reliefs: RegExp;
  readonly idioms: RegExp;
  readonly praise: RegExp;
  readonly blame: RegExp;
  readonly topics: readonly (readonly [Topic, RegExp])[];
}

const anyOf = (patterns: readonly string[], end: string): RegExp =>
  new RegExp(`(?<![\\p{L}\\p{N}])(?:${patterns.join('|')})${end}`, 'gu');

const compiled = new WeakMap<Lexicon, Compiled>();

function compile(lexicon: Lexicon): Compiled {
  const known = compiled.get(lexicon);
  if (known !== undefined) return known;
  // A beginning of up to three letters is a word by itself: "er" is not "error".
  const whole = (pattern: string): string =>
    /^[\p{L}&' ]{1,3}$/u.test(pattern.trim()) ? `${pattern}(?![\\p{L}])` : `${pattern}\\p{L}*`;
  const made: Compiled = {
    concerns: CONCERNS.flatMap((concern) => {
      const patterns = lexicon.concerns[concern];
      return patterns === undefined ? [] : [[concern, anyOf(patterns.map(whole), '')] as const];
    }),
    certain: anyOf(lexicon.certain, ''),
    negations: new Set(lexicon.negations),
    contrasts: new Set(lexicon.contrasts),
    reliefs: anyOf(lexicon.reliefs, ''),
    idioms: anyOf(lexicon.idioms, ''),
    praise: anyOf(lexicon.praise.map(whole), ''),
    blame: anyOf(lexicon.blame.map(whole), ''),
    topics: Object.entries(lexicon.topics).map(
      ([topic, patterns]) => [topic as Topic, anyOf(patterns.map(whole), '')] as const,
    ),
  };
  compiled.set(lexicon, made);
  return made;
}

interface Span {
  readonly start: number;
  readonly end: number;
}

const spansOf = (pattern: RegExp, text: string): readonly Span[] =>
  [...text.matchAll(pattern)].map((match) => ({ start: match.index, end: match.index + match[0].length }));

/** Finds what a text says of harm, word by word, and what takes it back. Linear in the length of the text. */
export function signalsOf(text: string, lexicon: Lexicon): Signals {
  const patterns = compile(lexicon);
  // Offsets in the normalised text: words of hits are given from it where they do not line up.
  const plain = normalise(text);
  const tokens = tokensOf(plain);
  const negated = negatedSpans(tokens, patterns);
  const idioms = spansOf(patterns.idioms, plain);
  const reliefs = spansOf(patterns.reliefs, plain);
  const overlaps = (a: Span, b: Span): boolean => a.start < b.end && b.start < a.end;
  const isNegated = (span: Span): boolean => negated.some((each) => overlaps(each, span));
  const isRelieved = (span: Span): boolean =>
    reliefs.some(
      (each) =>
        Math.max(each.start - span.end, span.start - each.end) < RELIEF_REACH &&
        !/[.;!?]|\b(?:but|pero|mais)\b/.test(
          plain.slice(Math.min(each.end, span.end), Math.max(each.start, span.start)),
        ),
    );
  const hits: Hit[] = [];
  for (const [concern, pattern] of patterns.concerns) {
    for (const span of spansOf(pattern, plain)) {
      const isTakenBack = isNegated(span) || isRelieved(span) || idioms.some((each) => overlaps(each, span));
      hits.push({ concern, words: wordsAt(text, plain, span), isTakenBack });
    }
  }
  const certain = spansOf(patterns.certain, plain)
    .filter(
      (span) =>
        !idioms.some((each) => overlaps(each, span)) && !isNegatedBefore(span, tokens, patterns) && !isRelieved(span),
    )
    .map((span) => wordsAt(text, plain, span));
  const praise = spansOf(patterns.praise, plain);
  const blame = spansOf(patterns.blame, plain);
  const negatedPraise = praise.filter(isNegated).length;
  const negatedBlame = blame.filter(isNegated).length;
  return {
    ...{ hits, certain, isQuestion: /[?¿]/.test(text) },
    topics: new Map(
      patterns.topics.flatMap(([topic, pattern]) => {
        const words = spansOf(pattern, plain).length;
        return words === 0 ? [] : [[topic, words] as const];
      }),
    ),
    praise: praise.length - negatedPraise + negatedBlame,
    blame: blame.length - negatedBlame + negatedPraise,
    ...{ hasNegation: negated.length > 0, hasRelief: reliefs.length > 0, hasIdiom: idioms.length > 0 },
  };
}

const wordsAt = (text: string, plain: string, { start, end }: Span): string =>
  (text.length === plain.length ? text : plain).slice(start, end).trim();

const isNegation = ({ word }: Token, { negations }: Compiled): boolean => negations.has(word) || word.endsWith("n't");

function negatedSpans(tokens: readonly Token[], patterns: Compiled): readonly Span[] {
  const spans: Span[] = [];
  for (const [at, token] of tokens.entries()) {
    if (!isNegation(token, patterns)) continue;
    let last = token;
    for (const next of tokens.slice(at + 1, at + 1 + NEGATION_REACH)) {
      if (patterns.contrasts.has(next.word)) break;
      last = next;
    }
    if (last !== token) spans.push({ start: token.end, end: last.end });
  }
  return spans;
}

/** A certain phrase may itself have a negation ("could not breathe"): only what comes before it counts. */
function isNegatedBefore(span: Span, tokens: readonly Token[], patterns: Compiled): boolean {
  const before = tokens.filter(({ end }) => end <= span.start).slice(-NEGATION_REACH);
  const from = before.findLastIndex(({ word }) => patterns.contrasts.has(word)) + 1;
  return before.slice(from).some((token) => isNegation(token, patterns));
}
