import { quantile } from 'headwater/testing';
import { Analyser } from '../insights/analyser.ts';
import { detect } from '../insights/detection/safety.ts';
import { LANGUAGES, type Language } from '../insights/languages.ts';
import { TOPICS } from '../insights/lexicons/lexicon.ts';
import { sentimentOf, topicsOf } from '../insights/local_analysis.ts';
import { SENTIMENTS } from '../insights/model.ts';
import { openAiProvider } from '../insights/providers/openai.ts';
import { MODES, type Mode, startFakeProvider } from '../test/support/fake_provider.ts';
import { type HeldOut, readSentences, type Sentence } from '../training/corpus.ts';
import { macroF1 } from './macro_f1.ts';

export interface Share {
  readonly value: number;
  /** 95 %, Wilson (1927). */
  readonly low: number;
  readonly high: number;
}

export function shareOf(hits: number, total: number): Share {
  if (total === 0) return { value: Number.NaN, low: 0, high: 1 };
  const z = 1.96;
  const p = hits / total;
  const middle = (p + (z * z) / (2 * total)) / (1 + (z * z) / total);
  const half = (z / (1 + (z * z) / total)) * Math.sqrt((p * (1 - p)) / total + (z * z) / (4 * total * total));
  return { value: p, low: middle - half, high: middle + half };
}

export interface LanguageReport {
  readonly language: Language;
  readonly sentences: number;
  readonly recall: Share;
  readonly precision: Share;
  /** Of adverse events. */
  readonly f1: number;
  readonly sentimentF1: number;
  readonly topicF1: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly misses: readonly Sentence[];
}

/** Judges the models of this process on a set of held-out sentences of a language: by default the newest. */
export function judge(language: Language, part: HeldOut = 'second_held_out'): LanguageReport {
  const sentences = readSentences(part, language);
  for (const { text } of sentences.slice(0, 100)) detect(text, language);
  const times: number[] = [];
  const judged = sentences.map((sentence) => {
    const from = performance.now();
    const detection = detect(sentence.text, language);
    times.push(performance.now() - from);
    return {
      sentence,
      isFound: detection.isAdverse,
      sentiment: sentimentOf(detection).sentiment,
      topic: topicsOf(detection)[0],
    };
  });
  const adverse = judged.filter(({ sentence }) => sentence.isAdverse);
  const found = adverse.filter(({ isFound }) => isFound).length;
  const alarms = judged.filter(({ isFound }) => isFound).length;
  return {
    ...{
      language,
      sentences: sentences.length,
      recall: shareOf(found, adverse.length),
      precision: shareOf(found, alarms),
    },
    f1: (2 * found) / (adverse.length + alarms),
    sentimentF1: macroF1(
      SENTIMENTS,
      judged.map(({ sentence, sentiment }) => ({ truth: sentence.sentiment, said: sentiment })),
    ),
    topicF1: macroF1(
      TOPICS,
      judged.map(({ sentence, topic }) => ({ truth: sentence.topic, said: topic ?? 'other' })),
    ),
    ...{ p50Ms: quantile(times, 0.5), p95Ms: quantile(times, 0.95) },
    misses: adverse.filter(({ isFound }) => !isFound).map(({ sentence }) => sentence),
  };
}

export interface ProviderReport {
  readonly mode: Mode;
  readonly comments: number;
  readonly degradedShare: number;
  /** Of the adverse events that the detection finds by itself. */
  readonly adverseFound: string;
  readonly p50Ms: number;
  readonly p95Ms: number;
}

/** Sends comments, many at a time, while the provider behaves in a certain way. */
export async function judgeProvider(mode: Mode, comments: number): Promise<ProviderReport> {
  const fake = await startFakeProvider(mode);
  const prices = { input: 0, output: 0 };
  const provider = openAiProvider({ baseUrl: `${fake.url}/v1`, model: 'fake', prices, maxTokens: 100 });
  const analyser = new Analyser({ provider }, { maxConcurrency: comments });
  const sentences = LANGUAGES.flatMap((language) =>
    readSentences('held_out', language).map((each) => ({ text: each.text, language })),
  ).filter((_each, at) => at % 5 === 0);
  let expected = 0;
  let found = 0;
  let degraded = 0;
  const times: number[] = [];
  const inFlight = Array.from({ length: comments }, async (_each, at) => {
    const { text, language } = sentences[at % sentences.length] as (typeof sentences)[number];
    const from = performance.now();
    const { insights } = await analyser.analyse({ text, lang: language });
    times.push(performance.now() - from);
    degraded += Number(insights.degraded);
    if (detect(text, language).isAdverse) {
      expected += 1;
      found += Number(insights.adverse_event_detected);
    }
  });
  await Promise.all(inFlight);
  analyser.close();
  await fake.close();
  return {
    ...{ mode, comments, degradedShare: degraded / comments, adverseFound: `${found}/${expected}` },
    ...{ p50Ms: quantile(times, 0.5), p95Ms: quantile(times, 0.95) },
  };
}

export { LANGUAGES, MODES };
