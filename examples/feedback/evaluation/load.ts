import { quantile } from 'headwater/testing';
import { Analyser } from '../insights/analyser.ts';
import { detect } from '../insights/detection/safety.ts';
import { LANGUAGES } from '../insights/languages.ts';
import { openAiProvider } from '../insights/providers/openai.ts';
import { startFakeProvider } from '../test/support/fake_provider.ts';
import { readSentences } from '../training/corpus.ts';

export interface LoadReport {
  readonly requests: number;
  readonly adverseEvents: number;
  readonly adverseFound: number;
  readonly degraded: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly maxMs: number;
}

/** Sends requests at a steady rate; half way the provider is slow, then its server is closed. */
export async function killProviderUnderLoad(requests: number, everyMs: number): Promise<LoadReport> {
  const fake = await startFakeProvider('well');
  const prices = { input: 0, output: 0 };
  const provider = openAiProvider({ baseUrl: `${fake.url}/v1`, model: 'fake', prices, maxTokens: 100 });
  const analyser = new Analyser({ provider });
  const sentences = LANGUAGES.flatMap((lang) => readSentences('held_out', lang).map(({ text }) => ({ text, lang })));
  const times: number[] = [];
  let [adverseEvents, adverseFound, degraded] = [0, 0, 0];
  const inFlight: Promise<void>[] = [];
  let killed: Promise<void> | undefined;
  for (let at = 0; at < requests; at += 1) {
    if (at === Math.floor(requests / 3)) fake.mode = 'slow';
    if (at === Math.floor((2 * requests) / 3)) killed = fake.close();
    const { text, lang } = sentences[(at * 7) % sentences.length] as (typeof sentences)[number];
    inFlight.push(
      (async () => {
        const from = performance.now();
        const { insights } = await analyser.analyse({ text, lang });
        times.push(performance.now() - from);
        const isAdverse = detect(text, lang).isAdverse;
        adverseEvents += Number(isAdverse);
        adverseFound += Number(isAdverse && insights.adverse_event_detected);
        degraded += Number(insights.degraded);
      })(),
    );
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  await Promise.all(inFlight);
  await killed;
  analyser.close();
  return {
    ...{ requests, adverseEvents, adverseFound, degraded },
    ...{ p50Ms: quantile(times, 0.5), p95Ms: quantile(times, 0.95), maxMs: Math.max(...times) },
  };
}

// npm run load
if (process.argv[1]?.endsWith('load.ts') === true) console.log(JSON.stringify(await killProviderUnderLoad(1_500, 5)));
