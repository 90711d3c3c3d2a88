import type { Provided } from './contract.ts';
import { PHRASES } from './detection/phrases.ts';
import type { Detection } from './detection/safety.ts';
import type { Language } from './languages.ts';
import { TOPICS, type Topic } from './lexicons/lexicon.ts';
import { lexiconOf } from './lexicons/lexicons.ts';
import { SENTIMENTS, type Sentiment } from './model.ts';
import { normalise } from './text.ts';

/** A further topic is named from this probability on. */
const TOPIC_THRESHOLD = 0.5;

/** Returns the sentiment of a text, and a score from -1 to 1. */
export function sentimentOf({ scores }: Detection): { readonly sentiment: Sentiment; readonly score: number } {
  const total = SENTIMENTS.reduce((sum, each) => sum + scores[each], 0);
  const sentiment = SENTIMENTS.reduce((best, each) => (scores[each] > scores[best] ? each : best));
  const score = (scores.positive - scores.negative) / (total || 1);
  const within: Readonly<Record<Sentiment, number>> = {
    negative: Math.min(score, 0),
    neutral: score,
    positive: Math.max(score, 0),
  };
  return { sentiment, score: Math.round(within[sentiment] * 1_000) / 1_000 };
}

/** Returns the topics of a text, the likeliest first; at least one. */
export function topicsOf({ scores }: Detection): readonly Topic[] {
  const sorted = TOPICS.toSorted((a, b) => scores[b] - scores[a]);
  return [sorted[0] as Topic, ...sorted.slice(1).filter((topic) => scores[topic] >= TOPIC_THRESHOLD)];
}

/** Returns the clauses of a text that begin with a wish. */
function needsOf(text: string, language: Language): readonly string[] {
  const wishes = new RegExp(`(?<![\\p{L}])(?:${lexiconOf(language).wishes.join('|')})`, 'u');
  return text
    .split(/[.!?;,\n]+/)
    .map((clause) => clause.trim().slice(0, 400))
    .filter((clause) => clause !== '' && wishes.test(normalise(clause)))
    .slice(0, 5);
}

/** Analyses a masked text with this process alone. */
export function analyseLocally(masked: string, language: Language, detection: Detection): Provided {
  const { sentiment, score } = sentimentOf(detection);
  const topics = topicsOf(detection);
  const { insights, recommendations, safety } = PHRASES[language];
  const [main] = topics as readonly [Topic, ...Topic[]];
  return {
    sentiment,
    sentiment_score: score,
    topics: [...topics],
    unmet_needs: [...needsOf(masked, language)],
    safety_concerns: [],
    marketing_insights: sentiment === 'neutral' ? [] : [insights[sentiment](main)],
    recommendations: [...(detection.isAdverse ? [safety] : []), recommendations[sentiment](main)],
  };
}
