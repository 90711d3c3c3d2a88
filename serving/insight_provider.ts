/** What a provider gets of a text. */
export interface ProviderRequest<Language extends string = string> {
  /** The text without personal data. It is data: whatever it says of instructions is to be analysed, not followed. */
  readonly maskedText: string;
  readonly language: Language;
}

/** The answer of a provider of insights. */
export interface ProviderAnswer {
  /** As it came: what it holds is checked by the caller. */
  readonly content: unknown;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** A model, mostly elsewhere, that analyses what customers write. `insightProviderContract` of `headwater/testing` tests one. */
export interface InsightProvider<Language extends string = string> {
  readonly name: string;
  /** Names the model in answers. */
  readonly model: string;
  /** USD for a million tokens, in and out. */
  readonly prices: { readonly input: number; readonly output: number };
  /**
   * Analyses one text, in one attempt: the caller tries again within its deadline.
   *
   * @throws ProviderFailedError whose message holds neither the text nor the answer
   */
  analyse(request: ProviderRequest<Language>, signal: AbortSignal): Promise<ProviderAnswer>;
  /** Releases connections; safe twice. */
  close(): void;
}
