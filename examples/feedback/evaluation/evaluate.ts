import { HELD_OUT } from '../training/corpus.ts';
import { judge, judgeProvider, LANGUAGES, MODES, type Share } from './report.ts';

// npm run evaluate: the models on the held-out sentences, and the answers while the provider is well, down, slow, garbled and lying.

const percent = (value: number): string => (100 * value).toFixed(1);
const withInterval = ({ value, low, high }: Share): string => `${percent(value)} (${percent(low)}–${percent(high)})`;

console.table(
  HELD_OUT.flatMap((part) => LANGUAGES.map((language) => ({ part, ...judge(language, part) }))).map(
    ({ part, language, sentences, recall, precision, f1, sentimentF1, topicF1, p50Ms, p95Ms }) => ({
      ...{ set: part, language, sentences, 'recall %': withInterval(recall), 'precision %': withInterval(precision) },
      ...{ F1: f1.toFixed(3), 'sentiment F1': sentimentF1.toFixed(3), 'topic F1': topicF1.toFixed(3) },
      ...{ 'p50 ms': p50Ms.toFixed(2), 'p95 ms': p95Ms.toFixed(2) },
    }),
  ),
);

const providers = [];
for (const mode of MODES) providers.push(await judgeProvider(mode, 60));
console.table(
  providers.map(({ mode, comments, degradedShare, adverseFound, p50Ms, p95Ms }) => ({
    ...{ provider: mode, comments, 'degraded %': percent(degradedShare), 'adverse events found': adverseFound },
    ...{ 'p50 ms': p50Ms.toFixed(0), 'p95 ms': p95Ms.toFixed(0) },
  })),
);
