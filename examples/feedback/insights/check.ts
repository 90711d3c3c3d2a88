import { type Provided, providedSchema } from './contract.ts';
import { mask } from './detection/masking.ts';
import { ProviderFailedError } from './errors.ts';
import { detectLanguage, type Language } from './languages.ts';
import { normalise } from './text.ts';

const spaced = (text: string): string => normalise(text).replace(/\s+/g, ' ').trim();

/** Characters from which on the language of what was written is known. */
const TELLING = 60;

/**
 * Returns what a provider answered if it fits the schema and agrees with itself and the text: the score with the sentiment, quoted words with the text,
 * and what is written with the text's language. Links, addresses and numbers of people are refused: the text has none, so they are made up.
 *
 * @throws {@link ProviderFailedError} naming the field, never its value
 */
export function checkProvided(content: unknown, maskedText: string, language: Language): Provided {
  const parsed = providedSchema.safeParse(content);
  const refuse = (problem: string): never => {
    throw new ProviderFailedError('invalid', `the provider's answer is refused: ${problem}`);
  };
  if (!parsed.success)
    return refuse(
      parsed.error.issues
        .map(({ path, code }) => `${path.join('.') || 'it'} (${code})`)
        .slice(0, 5)
        .join(', '),
    );
  const provided = parsed.data;
  const { sentiment, sentiment_score: score } = provided;
  if (
    (sentiment === 'positive' && score < 0) ||
    (sentiment === 'negative' && score > 0) ||
    (sentiment === 'neutral' && Math.abs(score) > 0.5)
  )
    return refuse('sentiment_score contradicts sentiment');
  const text = spaced(maskedText);
  if (provided.safety_concerns.some(({ words }) => !text.includes(spaced(words))))
    return refuse('safety_concerns quotes words that the text does not have');
  const written = [...provided.unmet_needs, ...provided.marketing_insights, ...provided.recommendations];
  for (const each of written)
    if (Object.keys(mask(each).counts).some((entity) => entity !== 'NAME' && entity !== 'DATE'))
      return refuse('a sentence has a link, an address or a number');
  const all = written.join(' ');
  const { language: spoken, isSure } = detectLanguage(all);
  if (all.length >= TELLING && isSure && spoken !== language)
    return refuse('it is not written in the language of the text');
  return provided;
}
