import type { SafetyConcern } from '../contract.ts';
import { rowOf } from '../features.ts';
import type { Language } from '../languages.ts';
import { lexiconOf } from '../lexicons/lexicons.ts';
import { modelOf, type Scores } from '../model.ts';
import { type Signals, signalsOf } from './signals.ts';

export interface Detection {
  readonly isAdverse: boolean;
  /** 0 to 1 */
  readonly score: number;
  readonly concerns: readonly SafetyConcern[];
  readonly signals: Signals;
  readonly scores: Scores;
}

/** Finds adverse events and safety concerns in a text: the model's probability, or a phrase that means harm by itself. */
export function detect(text: string, language: Language): Detection {
  const signals = signalsOf(text, lexiconOf(language));
  const model = modelOf(language);
  const scores = model.scores(rowOf(text, signals, language));
  // A question about harm may be about harm that has not happened: the model decides.
  const isCertain = signals.certain.length > 0 && !signals.isQuestion;
  const isAdverse = scores.adverse_event >= model.card.threshold || isCertain;
  return {
    ...{ isAdverse, signals, scores, concerns: isAdverse ? concernsOf(signals) : [] },
    score: scores.adverse_event,
  };
}

function concernsOf({ hits, certain }: Signals): readonly SafetyConcern[] {
  const seen = new Set<string>();
  const found: SafetyConcern[] = [];
  for (const { concern, words, isTakenBack } of hits) {
    const name = `${concern}\n${words.toLowerCase()}`;
    if (isTakenBack || seen.has(name)) continue;
    seen.add(name);
    found.push({ concern, words, found_by: 'local' });
  }
  for (const words of certain)
    if (!found.some((each) => each.words.includes(words) || words.includes(each.words)))
      found.push({ concern: 'likely_by_wording', words, found_by: 'local' });
  return found.length > 0 ? found : [{ concern: 'likely_by_wording', words: '', found_by: 'local' }];
}
