import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { Random } from 'headwater/testing';
import type { Language } from '../insights/languages.ts';
import type { Topic } from '../insights/lexicons/lexicon.ts';
import type { Sentiment } from '../insights/model.ts';

/** A sentence and what is true of it. */
export interface Sentence {
  readonly text: string;
  readonly isAdverse: boolean;
  readonly sentiment: Sentiment;
  readonly topic: Topic;
  /** plain, negation, hard negative, slang, misspelt, implicit */
  readonly kind: string;
  /** The line it comes from: sentences of one line are not told apart in cross-validation. */
  readonly line: number;
}

const SENTIMENT_OF: Readonly<Record<string, Sentiment>> = { n: 'negative', u: 'neutral', p: 'positive' };
const TOPIC_OF: Readonly<Record<string, Topic>> = {
  ...{ q: 'quality', d: 'delivery', p: 'price', s: 'support' },
  ...{ u: 'usability', h: 'health', o: 'other' },
};
const KIND_OF: Readonly<Record<string, string>> = {
  ...{ '-': 'plain', n: 'negation', h: 'hard negative', s: 'slang', m: 'misspelt', i: 'implicit' },
};

const dataUrl = (path: string): URL => new URL(`../data/${path}`, import.meta.url);

const linesOf = (path: string): readonly string[] => readFileSync(dataUrl(path), 'utf8').split('\n').filter(Boolean);

function parse(line: string, number: number): Sentence {
  const match = /^([01])([nup])([qdpsuho])([-nhsmi]) (.+)$/.exec(line);
  if (match === null) throw new Error(`line ${number + 1} is not "0nq- text" (data/README.md): ${line}`);
  const [, adverse, sentiment, topic, kind, text] = match as unknown as string[];
  return {
    ...{ text: text as string, isAdverse: adverse === '1', line: number, kind: KIND_OF[kind as string] as string },
    ...{ sentiment: SENTIMENT_OF[sentiment as string] as Sentiment, topic: TOPIC_OF[topic as string] as Topic },
  };
}

const HELD_OUT_SETS = ['held_out', 'second_held_out', 'third_held_out', 'fourth_held_out'] as const;
export type HeldOut = (typeof HELD_OUT_SETS)[number];

/** Sets of written sentences that models are judged on, and never fitted on: those that are there, the oldest first. */
export const HELD_OUT: readonly HeldOut[] = HELD_OUT_SETS.filter((part) => existsSync(dataUrl(part)));

/** Returns the written sentences of a part that models are not fitted on by themes. */
export const readSentences = (part: 'development' | HeldOut, language: Language): readonly Sentence[] =>
  linesOf(`${part}/${language}.txt`).map(parse);

/** Written sentences about one field, such as medicine. */
export interface Theme {
  readonly name: string;
  readonly sentences: readonly Sentence[];
}

/** A file of written sentences of training. */
export const themeUrl = (language: Language, name: string): URL => dataUrl(`training/written/${language}/${name}.txt`);

/** Returns the written sentences of training, by their files' names in order. */
export const readThemes = (language: Language): readonly Theme[] =>
  readdirSync(dataUrl(`training/written/${language}`))
    .filter((file) => file.endsWith('.txt'))
    .toSorted()
    .map((file) => ({
      name: file.slice(0, -'.txt'.length),
      sentences: linesOf(`training/written/${language}/${file}`).map(parse),
    }));

/** Sentences that a template is expanded to, at most. */
const EXPANSIONS = 16;

/** Returns sentences made of the templates: different choices of their alternatives, some with errors of typing. */
export function makeSentences(language: Language, seed: number): readonly Sentence[] {
  const random = new Random(seed);
  const lists = new Map<string, readonly string[]>();
  const templates: Sentence[] = [];
  for (const [number, line] of linesOf(`training/${language}.txt`).entries()) {
    const list = /^@(\w+) = (.+)$/.exec(line);
    if (list === null) templates.push(parse(line, number));
    else lists.set(list[1] as string, (list[2] as string).split('|'));
  }
  const expand = (text: string): string =>
    text.replace(/\{([^{}]*)\}/g, (_, alternatives: string) => {
      const options = alternatives.split('|').flatMap((option) => {
        const name = /^@(\w+)$/.exec(option)?.[1];
        return name === undefined ? [option] : (lists.get(name) ?? []);
      });
      return random.pick(options);
    });
  return templates.flatMap((template) => {
    const comments = new Set(Array.from({ length: EXPANSIONS }, () => expand(template.text)));
    return [...comments].flatMap((text) => {
      const sentence = { ...template, text: dress(text, random) };
      return random.chance(0.3) ? [sentence, { ...sentence, text: misspell(text, random) }] : [sentence];
    });
  });
}

/** Capitals and full stops as people write them, or not. */
function dress(text: string, random: Random): string {
  const begun = random.chance(0.6) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  if (/[?!]$/.test(begun) || random.chance(0.4)) return begun;
  return begun + random.pick(['.', '!', '.', '...']);
}

/** One to three letters left out, doubled, or exchanged. */
function misspell(text: string, random: Random): string {
  let letters = [...text];
  for (let change = random.integer(1, 3); change > 0; change -= 1) {
    const at = random.integer(1, letters.length - 2);
    const letter = letters[at] as string;
    if (!/\p{L}/u.test(letter)) continue;
    const edit = random.integer(0, 2);
    if (edit === 0) letters.splice(at, 1);
    else if (edit === 1) letters.splice(at, 0, letter);
    else letters = [...letters.slice(0, at), letters[at + 1] as string, letter, ...letters.slice(at + 2)];
  }
  return letters.join('');
}
