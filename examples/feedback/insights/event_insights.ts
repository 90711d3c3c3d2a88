import { detect } from './detection/safety.ts';
import { detectLanguage, type Language } from './languages.ts';
import type { Concern, Topic } from './lexicons/lexicon.ts';
import { sentimentOf, topicsOf } from './local_analysis.ts';
import type { Sentiment } from './model.ts';

/** What the stream keeps of a text. */
export interface EventInsights {
  readonly language: Language;
  readonly sentiment: Sentiment;
  /** -1 to 1 */
  readonly score: number;
  readonly topic: Topic;
  readonly isAdverse: boolean;
  /** Null without an adverse event. */
  readonly concern: Concern | 'reported_by_provider' | 'likely_by_wording' | null;
}

interface RefusedText {
  addIssue(problem: string): void;
}

/** Analyses a text of an event with this process alone; a text in another language is refused, and becomes a dead letter. */
export function eventInsights(text: string, context: RefusedText): EventInsights {
  const { language } = detectLanguage(text);
  const detection = detect(text, language ?? 'en');
  if (language === undefined) context.addIssue('must be English, Spanish or French');
  const { sentiment, score } = sentimentOf(detection);
  const { isAdverse, concerns } = detection;
  const [topic] = topicsOf(detection) as readonly [Topic, ...Topic[]];
  return { language: language ?? 'en', sentiment, score, topic, isAdverse, concern: concerns[0]?.concern ?? null };
}
