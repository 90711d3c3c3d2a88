import type { Language } from '../languages.ts';

/** What a provider gets of a text: personal data is masked. */
export interface ProviderRequest {
  readonly maskedText: string;
  readonly language: Language;
}

export interface ProviderAnswer {
  /** As it came: what it holds is checked by the caller. */
  readonly content: unknown;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** A model elsewhere that analyses comments. */
export interface InsightProvider {
  readonly name: 'bedrock' | 'openai' | 'local';
  /** Names the model in answers. */
  readonly model: string;
  /** USD for a million tokens, in and out. */
  readonly prices: { readonly input: number; readonly output: number };
  /**
   * Analyses one text, in one attempt.
   *
   * @throws ProviderFailedError whose message holds neither the text nor the answer
   */
  analyse(request: ProviderRequest, signal: AbortSignal): Promise<ProviderAnswer>;
  close(): void;
}
