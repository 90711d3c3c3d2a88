import { mkdirSync, writeFileSync } from 'node:fs';
import { mlpToOnnx } from 'headwater/registry';
import { Random } from 'headwater/testing';
import { macroF1 } from '../evaluation/macro_f1.ts';
import { WIDTH } from '../insights/features.ts';
import { LANGUAGES, type Language } from '../insights/languages.ts';
import { TOPICS } from '../insights/lexicons/lexicon.ts';
import { LinearModel, type ModelCard, modelUrl, OUTPUTS, type Scores, SENTIMENTS } from '../insights/model.ts';
import { makeSentences, readSentences, readThemes, type Sentence } from './corpus.ts';
import { type Example, exampleOf, fitModel } from './fit.ts';

// npm run train: fits the models of the three languages on made sentences, on data/training/written and on data/development. Reads nothing of the
// held-out sentences.

const SEED = 27;
const FOLDS = 3;
/** A written sentence weighs as much as so many made ones. */
const WRITTEN_WEIGHT = 6;
/** Share of the adverse events that the threshold finds in cross-validation: what is asked of it. */
const RECALL = 0.95;

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
  readonly scores: Scores;
}

/**
 * Scores each sentence that the lexicon does not know by a model that has not seen it, as customers' sentences will be scored. `known` are made and
 * development sentences: models see them in training alone.
 */
function crossValidate(
  sentences: readonly Sentence[],
  examples: readonly Example[],
  known: readonly Example[],
): readonly Judged[] {
  const card: ModelCard = { threshold: 0.5, balance: 0, seed: SEED, sentences: 0 };
  return Array.from({ length: FOLDS }, (_, fold) => {
    const seen = examples.filter((_example, at) => at % FOLDS !== fold);
    const model = new LinearModel(toOnnx(fitModel([...known, ...seen], SEED + fold)), card);
    return [...sentences.entries()]
      .filter(([at]) => at % FOLDS === fold)
      .map(([at, sentence]) => ({ sentence, scores: model.scores((examples[at] as Example).row) }));
  }).flat();
}

/** Returns the highest threshold at which so many adverse events are found, in thousandths. */
function thresholdFor(judged: readonly Judged[]): number {
  const adverse = judged.filter(({ sentence }) => sentence.isAdverse);
  const sorted = adverse.map(({ scores }) => scores.adverse_event).sort((a, b) => a - b);
  const lowest = sorted[Math.floor((1 - RECALL) * sorted.length)] ?? 0;
  return Math.floor(1_000 * lowest) / 1_000;
}

type Class = (typeof SENTIMENTS | typeof TOPICS)[number];
const CLASSES: readonly (readonly Class[])[] = [SENTIMENTS, TOPICS];
const classesOf = ({ sentiment, topic }: Sentence): readonly Class[] => [sentiment, topic];

/**
 * Returns what is taken off the logit of each class, for a balance of 1: how much more common it is among the sentences than the rarest of its kind
 * (logit adjustment: Menon et al., 2021). Comments of customers are of other shares than the sentences that were written.
 */
function excessOf(sentences: readonly Sentence[]): ReadonlyMap<Class, number> {
  const count = (each: Class): number => sentences.filter((sentence) => classesOf(sentence).includes(each)).length;
  return new Map(
    CLASSES.flatMap((classes) => {
      const rarest = Math.min(...classes.map(count));
      return classes.map((each) => [each, Math.log(count(each) / rarest)] as const);
    }),
  );
}

const logit = (probability: number): number => Math.log(probability / (1 - probability));

/** Returns the macro-F1 of sentiments and of topics with a balance. */
function macroF1s(
  judged: readonly Judged[],
  excess: ReadonlyMap<Class, number>,
  balance: number,
): readonly [number, number] {
  const [ofSentiments, ofTopics] = CLASSES.map((classes, kind) =>
    macroF1(
      classes,
      judged.map(({ sentence, scores }) => {
        const value = (each: Class): number => logit(scores[each]) - balance * (excess.get(each) as number);
        const said = classes.reduce((best, each) => (value(each) > value(best) ? each : best));
        return { truth: classesOf(sentence)[kind] as Class, said };
      }),
    ),
  );
  return [ofSentiments as number, ofTopics as number];
}

const BALANCES = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1];

for (const language of LANGUAGES) {
  const from = process.cpuUsage();
  const known = [
    ...bothWays(makeSentences(language, SEED), language, 1),
    ...bothWays(readSentences('development', language), language, WRITTEN_WEIGHT),
  ];
  const sentences = readThemes(language).flatMap((theme) => theme.sentences);
  const examples = sentences.map((each) => exampleOf(each, language, WRITTEN_WEIGHT, false));
  const judged = crossValidate(sentences, examples, known);
  const threshold = thresholdFor(judged);
  const excess = excessOf(sentences);
  const [balance, [sentimentF1, topicF1]] = BALANCES.map(
    (each) => [each, macroF1s(judged, excess, each)] as const,
  ).toSorted(([, a], [, b]) => b[0] + b[1] - a[0] - a[1])[0] as readonly [number, readonly [number, number]];
  const layer = fitModel([...known, ...examples], SEED);
  for (const [each, more] of excess) {
    const at = OUTPUTS.indexOf(each);
    layer.bias[at] = (layer.bias[at] as number) - balance * more;
  }
  const onnx = toOnnx(layer);
  const card: ModelCard = { threshold, balance, seed: SEED, sentences: known.length + examples.length };
  mkdirSync(modelUrl(language, '.'), { recursive: true });
  writeFileSync(modelUrl(language, 'model.onnx'), onnx);
  writeFileSync(modelUrl(language, 'card.json'), `${JSON.stringify(card, null, 2)}\n`);
  const caught = judged.filter(
    ({ sentence, scores }) => sentence.isAdverse && scores.adverse_event >= threshold,
  ).length;
  const alarms = judged.filter(({ scores }) => scores.adverse_event >= threshold).length;
  const adverse = sentences.filter(({ isAdverse }) => isAdverse).length;
  const { user, system } = process.cpuUsage(from);
  console.log(
    JSON.stringify({
      ...{ language, examples: card.sentences, written: sentences.length, threshold, balance },
      ...{ recall: caught / adverse, precision: caught / alarms, sentimentF1, topicF1 },
      ...{ modelBytes: onnx.length, processorSeconds: Math.round((user + system) / 1e6) },
    }),
  );
  // `--errors` prints the sentences that were judged wrongly.
  if (process.argv.includes('--errors')) {
    for (const { sentence, scores } of judged)
      if (sentence.isAdverse !== scores.adverse_event >= threshold)
        console.log(sentence.isAdverse ? 'miss ' : 'alarm', scores.adverse_event.toFixed(2), sentence.text);
  }
}
