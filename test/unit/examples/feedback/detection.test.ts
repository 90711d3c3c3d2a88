import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { judge } from '#examples/feedback/evaluation/report';
import { detect } from '#examples/feedback/insights/detection/safety';
import { signalsOf } from '#examples/feedback/insights/detection/signals';
import { denseOf, rowOf, WIDTH } from '#examples/feedback/insights/features';
import { detectLanguage, LANGUAGES } from '#examples/feedback/insights/languages';
import { lexiconOf } from '#examples/feedback/insights/lexicons/lexicons';
import { modelOf, modelUrl, OUTPUTS } from '#examples/feedback/insights/model';
import { HELD_OUT, readSentences, readThemes } from '#examples/feedback/training/corpus';
import { nearTo } from '#examples/feedback/training/nearness';

// What the models reach on held-out sentences is printed by `npm run evaluate` of the example; these are floors, which a change must not fall below.
const FLOORS = {
  held_out: { recall: 0.95, precision: 0.71, sentimentF1: 0.79, topicF1: 0.73 },
  second_held_out: { recall: 0.96, precision: 0.67, sentimentF1: 0.78, topicF1: 0.78 },
  third_held_out: { recall: 0.95, precision: 0.62, sentimentF1: 0.72, topicF1: 0.67 },
  fourth_held_out: { recall: 0.95, precision: 0.69, sentimentF1: 0.81, topicF1: 0.77 },
};

describe.each(LANGUAGES)('%s', (language) => {
  test.each(HELD_OUT)('the figures of %s do not fall', (part) => {
    const floors = FLOORS[part];
    const { sentences, recall, precision, sentimentF1, topicF1, p50Ms } = judge(language, part);
    expect(sentences).toBeGreaterThanOrEqual(290);
    expect(recall.value).toBeGreaterThan(floors.recall);
    expect(precision.value).toBeGreaterThan(floors.precision);
    expect(sentimentF1).toBeGreaterThan(floors.sentimentF1);
    expect(topicF1).toBeGreaterThan(floors.topicF1);
    expect(p50Ms).toBeLessThan(2);
  });

  test('no held-out sentence was trained on', () => {
    const held = HELD_OUT.flatMap((part) => readSentences(part, language)).map(({ text }) => text);
    const development = new Set(readSentences('development', language).map(({ text }) => text));
    expect(held.filter((text) => development.has(text))).toEqual([]);
    // Nor is one of the later training sentences made of the same words.
    const isNear = nearTo(held);
    const written = readThemes(language).flatMap(({ sentences }) => sentences);
    const near = written.filter(({ text }) => isNear(text));
    expect(near).toEqual([]);
  });

  test('onnxruntime runs the model to the same probabilities', async () => {
    const session = await InferenceSession.create(readFileSync(modelUrl(language, 'model.onnx')));
    for (const { text } of readSentences('held_out', language).slice(0, 20)) {
      const row = rowOf(text, signalsOf(text, lexiconOf(language)), language);
      const input = new Tensor('float32', denseOf(row), [1, WIDTH]);
      const { probabilities } = await session.run({ features: input });
      const ours = modelOf(language).scores(row);
      for (const [at, name] of OUTPUTS.entries()) expect(ours[name]).toBeCloseTo(Number(probabilities?.data[at]), 4);
    }
  });

  test('a long text is searched in linear time', () => {
    const text = 'no pain but the rash, sin dolor pero ronchas, pas de douleur mais plaques '.repeat(66);
    // The default time of a test ends a search that is not linear.
    expect(detect(text.repeat(20), language)).toBeDefined();
  });
});

test('a negation takes back what follows it, up to a contrast', () => {
  const words = (text: string): string[] =>
    signalsOf(text, lexiconOf('en'))
      .hits.filter(({ isTakenBack }) => !isTakenBack)
      .map((hit) => hit.words);
  expect(words('No rash, no nausea')).toEqual([]);
  expect(words('No rash but nausea')).toContain('nausea');
});

test('languages are told apart, and a fourth is named', () => {
  expect(detectLanguage('The charger got very hot and burned my hand.').language).toBe('en');
  expect(detectLanguage('El cargador se calentó mucho y me quemó la mano.').language).toBe('es');
  expect(detectLanguage("Le chargeur a chauffé et m'a brûlé la main.").language).toBe('fr');
  expect(detectLanguage('Das Ladegerät wurde sehr heiß und hat mir die Hand verbrannt.')).toMatchObject({
    ...{ language: undefined, likeliest: 'de' },
  });
});

test('nearly all held-out sentences are taken for their own language', () => {
  for (const language of LANGUAGES) {
    const sentences = readSentences('held_out', language);
    const found = sentences.map(({ text }) => detectLanguage(text).language);
    expect(found.filter((each) => each === language).length / sentences.length).toBeGreaterThan(0.9);
    expect(found.filter((each) => each === undefined).length / sentences.length).toBeLessThan(0.02);
  }
});
