import type { Language } from '../languages.ts';
import { en } from './en.ts';
import { es } from './es.ts';
import { fr } from './fr.ts';
import type { Lexicon } from './lexicon.ts';

const LEXICONS: Readonly<Record<Language, Lexicon>> = { en, es, fr };

export const lexiconOf = (language: Language): Lexicon => LEXICONS[language];
