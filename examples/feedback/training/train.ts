import { mkdirSync, writeFileSync } from 'node:fs';
import { mlpToOnnx } from 'headwater/registry';
import { Random } from 'headwater/testing';
import { WIDTH } from '../insights/features.ts';
import { LANGUAGES, type Language } from '../insights/languages.ts';
import { LinearModel, type ModelCard, modelUrl, OUTPUTS, SENTIMENTS } from '../insights/model.ts';
import { makeSentences, readSentences, readThemes, type Sentence } from './corpus.ts';
import { type Example, exampleOf, fitModel } from './fit.ts';

// npm run train: fits the models of the three languages on made sentences, on data/training/written and on data/development. Reads nothing of the
// held-out sentences.

const SEED = 27;
const FOLDS = 5;
/** A written sentence weighs as much as so many made ones. */
const WRITTEN_WEIGHT = 6;
/** Share of the adverse events that the threshold finds in cross-validation. */
const RECALL = 0.96;

const toOnnx = (layer: ReturnType<typeof fitModel>): Uint8Array =>
  mlpToOnnx(
    {
      ...{ width: WIDTH, fill: new Float32Array(WIDTH), center: new Float32Array(WIDTH) },
      ...{ scale: new Float32Array(WIDTH).fill(1), layers: [layer] },
    },
    '1',
  );

/**
 * Returns the examples of sentences, half of them without what the lexicon found: it knows these sentences better than those of customers, and a model
 * that sees it in each of them trusts it too much.
 */
function bothWays(sentences: readonly Sentence[], language: Language, weight: number): readonly Example[] {
  const random = new Random(SEED);
  return sentences.map((each) => exampleOf(each, language, weight, random.chance(0.5)));
}

interface Judged {
  readonly sentence: Sentence;
  readonly probability: number;
  readonly isSentimentRight: boolean;
}

/**
 * Scores each sentence that the lexicon does not know by a model that has not seen it, as customers' sentences will be scored. `known` are the
 * development sentences: models see them in training alone.
 */
function crossValidate(
  unknown: readonly Sentence[],
  known: readonly Example[],
  made: readonly Example[],
  language: Language,
): readonly Judged[] {
  const card: ModelCard = { threshold: 0.5, seed: SEED, sentences: 0 };
  return Array.from({ length: FOLDS }, (_, fold) => {
    const seen = unknown.filter((_sentence, at) => at % FOLDS !== fold);
    const examples = [...made, ...known, ...seen.map((each) => exampleOf(each, language, WRITTEN_WEIGHT, false))];
    const model = new LinearModel(toOnnx(fitModel(examples, SEED + fold)), card);
    return unknown
      .filter((_sentence, at) => at % FOLDS === fold)
      .map((sentence) => {
        const scores = model.scores(exampleOf(sentence, language, 1, false).row);
        const sentiment = SENTIMENTS.toSorted((a, b) => scores[b] - scores[a])[0];
        return { sentence, probability: scores.adverse_event, isSentimentRight: sentiment === sentence.sentiment };
      });
  }).flat();
}

/** Returns the highest threshold at which so many adverse events are found, in thousandths. */
function thresholdFor(judged: readonly Judged[]): number {
  const adverse = judged.filter(({ sentence }) => sentence.isAdverse);
  const sorted = adverse.map(({ probability }) => probability).sort((a, b) => a - b);
  const lowest = sorted[Math.floor((1 - RECALL) * sorted.length)] ?? 0;
  return Math.floor(1_000 * lowest) / 1_000;
}

for (const language of LANGUAGES) {
  const made = bothWays(makeSentences(language, SEED), language, 1);
  const known = bothWays(readSentences('development', language), language, WRITTEN_WEIGHT);
  const unknown = readThemes(language).flatMap(({ sentences }) => sentences);
  const judged = crossValidate(unknown, known, made, language);
  const threshold = thresholdFor(judged);
  const caught = judged.filter(({ sentence, probability }) => sentence.isAdverse && probability >= threshold).length;
  const alarms = judged.filter(({ sentence, probability }) => !sentence.isAdverse && probability >= threshold).length;
  const adverse = judged.filter(({ sentence }) => sentence.isAdverse).length;
  const examples = [...made, ...known, ...unknown.map((each) => exampleOf(each, language, WRITTEN_WEIGHT, false))];
  const onnx = toOnnx(fitModel(examples, SEED));
  const card: ModelCard = { threshold, seed: SEED, sentences: examples.length };
  mkdirSync(modelUrl(language, '.'), { recursive: true });
  writeFileSync(modelUrl(language, 'model.onnx'), onnx);
  writeFileSync(modelUrl(language, 'card.json'), `${JSON.stringify(card, null, 2)}\n`);
  const rightSentiments = judged.filter(({ isSentimentRight }) => isSentimentRight).length;
  console.log(
    JSON.stringify({
      ...{ language, made: made.length, written: known.length + unknown.length, outputs: OUTPUTS.length, threshold },
      recall: caught / adverse,
      precision: caught / (caught + alarms),
      sentimentAccuracy: rightSentiments / judged.length,
    }),
  );
  // `--errors` prints the sentences that were judged wrongly.
  if (process.argv.includes('--errors')) {
    for (const { sentence, probability } of judged)
      if (sentence.isAdverse !== probability >= threshold)
        console.log(sentence.isAdverse ? 'miss ' : 'alarm', probability.toFixed(2), sentence.text);
  }
}
