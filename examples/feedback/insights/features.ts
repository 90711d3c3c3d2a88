import type { Signals } from './detection/signals.ts';
import type { Language } from './languages.ts';
import { FIELD_WORDS, FIELDS, type Field } from './lexicons/fields.ts';
import { CONCERNS, TOPICS } from './lexicons/lexicon.ts';
import { normalise } from './text.ts';

/** Columns of the models: hashed n-grams, then what the lexicon found. */
export const HASHED = 32_768;
const SIGNAL_NAMES = [
  ...CONCERNS.flatMap((concern) => [`${concern}`, `${concern}_taken_back`]),
  ...['certain', 'any_hit', 'two_hits', 'only_taken_back', 'no_hit', 'question', 'negation', 'relief', 'idiom'],
  ...TOPICS.flatMap((topic) => [`about_${topic}`, `much_about_${topic}`, `most_about_${topic}`]),
  ...['praise', 'blame', 'more_praise', 'more_blame', 'much_praise', 'much_blame', 'no_judgement'],
  'about_nothing',
] as const;
export const WIDTH = HASHED + SIGNAL_NAMES.length;
const COLUMN = new Map<string, number>(SIGNAL_NAMES.map((name, at) => [name, HASHED + at]));

/** Columns that are not 0, and their values, as the models' graphs take them. */
export interface SparseRow {
  readonly columns: Uint32Array;
  readonly values: Float32Array;
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** FNV-1a of UTF-16 code units. */
function hashOf(text: string): number {
  let hash = FNV_OFFSET;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), FNV_PRIME);
  return (hash ^ (hash >>> 15)) >>> 0;
}

const fieldPatterns = new Map<Language, RegExp>();

/** Returns what a word is of. */
function fieldOf(word: string, language: Language): Field | undefined {
  let pattern = fieldPatterns.get(language);
  if (pattern === undefined) {
    pattern = new RegExp(`^(?:${FIELDS.map((field) => `(${FIELD_WORDS[language][field]})`).join('|')})`, 'u');
    fieldPatterns.set(language, pattern);
  }
  const groups = pattern.exec(`${word} `);
  return groups === null ? undefined : FIELDS[groups.indexOf(groups[0], 1) - 1];
}

const SHORTEST = 3;
const LONGEST = 5;

/** Words after a negation that are columns of their own. */
const NEGATION_REACH = 3;

/** Words between two words whose fields are a column together, at most. */
const FIELD_REACH = 6;

function ngramsOf(text: string, language: Language): ReadonlySet<number> {
  const words = normalise(text).match(/[\p{L}\p{N}']+|[?!]/gu) ?? [];
  const found = new Set<number>();
  const fields = words.map((word) => fieldOf(word, language));
  const add = (gram: string): void => void found.add(hashOf(gram) % HASHED);
  for (const [at, word] of words.entries()) {
    add(`w ${word}`);
    if (at > 0) add(`b ${words[at - 1]} ${word}`);
    if (at > 1) add(`s ${words[at - 2]} ${word}`);
    if (at === 0) add(`first ${word}`);
    if (at === 1) add(`first ${words[0]} ${word}`);
    const field = fields[at];
    if (field !== undefined) {
      add(`field ${field}`);
      add(`before ${words[at - 1] ?? ''} ${field}`);
      add(`after ${field} ${words[at + 1] ?? ''}`);
      for (let other = Math.max(0, at - FIELD_REACH); other < at; other += 1)
        if (fields[other] !== undefined) add(`fields ${fields[other]} ${field}`);
      if (field === 'negation') for (const next of words.slice(at + 1, at + 1 + NEGATION_REACH)) add(`not ${next}`);
    }
    const padded = ` ${word} `;
    for (let length = SHORTEST; length <= LONGEST; length += 1) {
      for (let start = 0; start + length <= padded.length; start += 1) add(padded.slice(start, start + length));
    }
  }
  return found;
}

/** How much a signal weighs against the n-grams of a text, together. */
const SIGNAL_VALUE = Math.log(2);

/**
 * Returns the row of a text. Each n-gram has the value ln(1 + 1/√n) of n n-grams, what the lexicon found ln 2: the logarithms that the graphs take
 * of their input are in the values.
 */
export function rowOf(text: string, signals: Signals, language: Language): SparseRow {
  const grams = ngramsOf(text, language);
  const held = new Set<number>();
  const mark = (name: string): void => void held.add(COLUMN.get(name) as number);
  for (const { concern, isTakenBack } of signals.hits) mark(isTakenBack ? `${concern}_taken_back` : concern);
  const standing = new Set(signals.hits.filter(({ isTakenBack }) => !isTakenBack).map(({ words }) => words)).size;
  if (signals.certain.length > 0) mark('certain');
  if (standing > 0) mark('any_hit');
  if (standing > 1) mark('two_hits');
  if (standing === 0) mark(signals.hits.length > 0 ? 'only_taken_back' : 'no_hit');
  if (signals.isQuestion) mark('question');
  if (signals.hasNegation) mark('negation');
  if (signals.hasRelief) mark('relief');
  if (signals.hasIdiom) mark('idiom');
  const mostWords = Math.max(0, ...signals.topics.values());
  for (const [topic, words] of signals.topics) {
    mark(`about_${topic}`);
    if (words > 1) mark(`much_about_${topic}`);
    if (words === mostWords) mark(`most_about_${topic}`);
  }
  if (mostWords === 0) mark('about_nothing');
  const { praise, blame } = signals;
  if (praise > 0) mark('praise');
  if (blame > 0) mark('blame');
  if (praise > blame) mark('more_praise');
  if (blame > praise) mark('more_blame');
  if (praise > blame + 1) mark('much_praise');
  if (blame > praise + 1) mark('much_blame');
  if (praise + blame === 0) mark('no_judgement');
  const columns = Uint32Array.from([...grams, ...held]);
  const values = new Float32Array(columns.length).fill(SIGNAL_VALUE);
  values.fill(Math.log1p(1 / Math.sqrt(Math.max(1, grams.size))), 0, grams.size);
  return { columns, values };
}

/** Returns a row as the graph's input: before its logarithms, all columns. */
export function denseOf({ columns, values }: SparseRow): Float32Array {
  const dense = new Float32Array(WIDTH);
  for (const [at, column] of columns.entries()) dense[column] = Math.expm1(values[at] as number);
  return dense;
}
