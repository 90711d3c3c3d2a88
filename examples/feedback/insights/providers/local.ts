import { detect } from '../detection/safety.ts';
import { analyseLocally } from '../local_analysis.ts';
import type { InsightProvider } from './provider.ts';

/** The models of this process: no text leaves it. */
export const localProvider = (): InsightProvider => ({
  ...{ name: 'local', model: 'insights-linear-1', prices: { input: 0, output: 0 } },
  analyse: async ({ maskedText, language }) => {
    const content = analyseLocally(maskedText, language, detect(maskedText, language));
    return { content, inputTokens: 0, outputTokens: 0 };
  },
  close: () => {},
});
