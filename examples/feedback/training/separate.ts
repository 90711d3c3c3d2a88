import { readFileSync, writeFileSync } from 'node:fs';
import { LANGUAGES } from '../insights/languages.ts';
import { HELD_OUT, readSentences, readThemes, themeUrl } from './corpus.ts';
import { nearTo } from './nearness.ts';

// npm run separate: takes sentences out of data/training/written that say nearly the same as a held-out one. Prints how many, and none of them.

for (const language of LANGUAGES) {
  const isNear = nearTo(HELD_OUT.flatMap((part) => readSentences(part, language)).map(({ text }) => text));
  for (const { name, sentences } of readThemes(language)) {
    const near = new Set(sentences.filter(({ text }) => isNear(text)).map(({ line }) => line));
    if (near.size === 0) continue;
    const file = themeUrl(language, name);
    const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
    writeFileSync(file, `${lines.filter((_, at) => !near.has(at)).join('\n')}\n`);
    console.log(JSON.stringify({ language, theme: name, takenOut: near.size }));
  }
}
