import { eld } from 'eld/medium';

export const LANGUAGES = ['en', 'es', 'fr'] as const;
export type Language = (typeof LANGUAGES)[number];

export interface DetectedLanguage {
  /** The language to analyse in; undefined: it is surely another one. */
  readonly language: Language | undefined;
  /** The likeliest of all sixty languages, ISO 639-1; empty: the text has no letters to tell by. */
  readonly likeliest: string;
  /** Whether the other two languages are unlikely. */
  readonly isSure: boolean;
}

const detector = eld.newInstance();

/** How much likelier another language must be than each of the three, and how long the text, to refuse it. */
const FOREIGN_MARGIN = 1.25;
const FOREIGN_CHARACTERS = 20;
const SURE_MARGIN = 1.15;

const isOurs = (language: string): language is Language => (LANGUAGES as readonly string[]).includes(language);

/**
 * Returns the language of a text among three. Another language is named only where it is clearly likelier than all three and the text is long enough
 * to know: a short or misspelt text is analysed as the likeliest of the three.
 */
export function detectLanguage(text: string): DetectedLanguage {
  const { language: likeliest, ...result } = detectAll(text);
  const ours = Object.entries(result.scores).filter((entry): entry is [Language, number] => isOurs(entry[0]));
  ours.sort(([, a], [, b]) => b - a);
  const [best, second] = ours;
  const other = result.scores[likeliest] ?? 0;
  const isForeign =
    likeliest !== '' &&
    !isOurs(likeliest) &&
    text.length >= FOREIGN_CHARACTERS &&
    other > FOREIGN_MARGIN * (best?.[1] ?? 0);
  if (isForeign) return { language: undefined, likeliest, isSure: true };
  const isSure = best !== undefined && best[1] > SURE_MARGIN * (second?.[1] ?? 0);
  return { language: best?.[0] ?? 'en', likeliest, isSure };
}

function detectAll(text: string): { language: string; scores: Readonly<Record<string, number>> } {
  const found = detector.detect(text);
  return { language: found.language, scores: found.getScores() };
}
