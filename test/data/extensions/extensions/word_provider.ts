import { type InsightProvider, ProviderFailedError } from 'headwater/serving';

const WORDS = { good: 1, great: 1, fast: 1, bad: -1, broken: -1, late: -1 } as const;

/** Sentiment by words of a list that a server gives out. */
export function wordProvider(url: string): InsightProvider<'en'> {
  return {
    ...{ name: 'words', model: 'words-1', prices: { input: 0, output: 0 } },
    async analyse({ maskedText }, signal) {
      const answer = await fetch(url, { signal }).catch((error: unknown) => {
        throw new ProviderFailedError('unavailable', 'the server of words does not answer', error);
      });
      const words = (await answer.json()) as Readonly<Record<string, number>>;
      const tokens = maskedText.toLowerCase().split(/\W+/);
      const score = tokens.reduce((sum, token) => sum + (words[token] ?? 0), 0);
      return { content: { score }, inputTokens: tokens.length, outputTokens: 1 };
    },
    close: () => {},
  };
}

/** The server's list. */
export const wordList = (): string => JSON.stringify(WORDS);
