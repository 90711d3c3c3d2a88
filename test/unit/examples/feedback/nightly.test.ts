import { expect, test } from '@jest/globals';
import { mixChanges } from '#examples/feedback/evaluation/mix';
import { feedbackView } from '#examples/feedback/features/feedback';
import { evaluate, evaluateNightly } from '#examples/feedback/workflows/evaluate_nightly';
import { FeatureTest } from '#feature_store/testing/feature_test';

const comments = (languages: string) =>
  [...languages].map((letter) => ({ language: letter === 'e' ? 'en' : 'es', topic: 'delivery' }));

test('a change of languages is named with both shares, and the usual mix is not', () => {
  expect(mixChanges(comments('eess'), comments('eeesss'), 0.25)).toEqual([]);
  expect(mixChanges(comments('ssss'), comments('eees'), 0.25)).toEqual([
    { of: 'language', value: 'es', before: 0.25, now: 1 },
    { of: 'language', value: 'en', before: 0.75, now: 0 },
  ]);
});

test('the models find enough adverse events of the held-out sentences, each language in the log', () => {
  const lines: string[] = [];
  evaluate.run({}, { log: (line: string) => lines.push(line) } as never);
  expect(lines.map((line) => line.slice(0, 2))).toEqual(['en', 'es', 'fr']);
  expect(Object.keys(evaluateNightly.document.States)).toEqual(['Report', 'Evaluate', 'Check', 'Compare']);
});

test('the contract holds on comments as they are, and not when most of them report harm or none come', async () => {
  const features = new FeatureTest([feedbackView], { now: '2026-01-05T12:00:00Z' });
  const write = (id: string, text: string) =>
    features.ingest({ event_type: 'feedback', feedback_id: id, customer_id: id, text, at: features.now });
  for (let each = 0; each < 10; each += 1) write(`good-${each}`, 'Delivery was quick and the app is easy to use.');
  expect(await features.brokenTerms(feedbackView)).toEqual([]);
  for (let each = 0; each < 10; each += 1) write(`bad-${each}`, 'The charger got so hot that it burned my hand.');
  expect(await features.brokenTerms(feedbackView)).toEqual(['violations']);
  features.advance('3d');
  expect(await features.brokenTerms(feedbackView)).toContain('freshness');
});
