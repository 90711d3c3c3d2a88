import {
  bulkhead,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  ExponentialBackoff,
  handleAll,
  handleWhen,
  isBrokenCircuitError,
  isBulkheadRejectedError,
  isTaskCancelledError,
  retry,
  TimeoutStrategy,
  timeout,
  wrap,
} from 'cockatiel';
import { checkProvided } from './check.ts';
import type { Insights, Provided, SafetyConcern, Stage, StageName } from './contract.ts';
import { type MaskedEntity, mask } from './detection/masking.ts';
import { type Detection, detect } from './detection/safety.ts';
import { ProviderFailedError, UnsupportedLanguageError } from './errors.ts';
import { detectLanguage, LANGUAGES, type Language } from './languages.ts';
import { analyseLocally } from './local_analysis.ts';
import type { InsightProvider, ProviderAnswer } from './providers/provider.ts';

export interface AnalyserSettings {
  /** From the request to the answer. */
  readonly deadlineMs: number;
  /** Calls of the provider at a time; a further one is answered locally at once. */
  readonly maxConcurrency: number;
  /** Attempts of one request, within the deadline. */
  readonly maxAttempts: number;
  /** Failures in a row that open the circuit, and how long it stays open. */
  readonly breakerFailures: number;
  readonly breakerOpenMs: number;
}

export const ANALYSER_DEFAULTS: AnalyserSettings = {
  ...{ deadlineMs: 2_500, maxConcurrency: 32, maxAttempts: 3, breakerFailures: 5, breakerOpenMs: 10_000 },
};

/** What is kept back of the deadline for the local answer. */
const RESERVE_MS = 50;

export interface FoundAdverseEvent {
  readonly detection: Detection;
  readonly language: Language;
  readonly maskedText: string;
}

export interface Feedback {
  readonly text: string;
  readonly lang?: Language | undefined;
  /** Called as soon as an adverse event is found, before anything leaves the process; the answer waits for it. */
  readonly onAdverseEvent?: (found: FoundAdverseEvent) => Promise<void>;
}

/** What happened to one text, without a word of it. */
export interface Analysed {
  readonly insights: Insights;
  readonly maskedText: string;
  readonly maskedCounts: Readonly<Partial<Record<MaskedEntity, number>>>;
  /** Of the provider, in USD; 0 for the local one. */
  readonly cost: number;
  readonly tokens: { readonly input: number; readonly output: number };
}

export interface AnalyserDeps {
  readonly provider: InsightProvider;
}

/** Milliseconds since the start, as stages are measured. */
class Stopwatch {
  readonly #startedAt = performance.now();
  readonly stages: Stage[] = [];

  elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  measure<T>(stage: StageName, run: () => T): T {
    const from = performance.now();
    const value = run();
    this.record(stage, from, 'ok');
    return value;
  }

  record(stage: StageName, from: number, outcome: Stage['outcome']): void {
    this.stages.push({ stage, ms: Math.round((performance.now() - from) * 1_000) / 1_000, outcome });
  }
}

/** Analyses comments: language, safety, masking, provider, check, in this order; whatever the provider does, there is an answer within the deadline. */
export class Analyser {
  readonly #deps: AnalyserDeps;
  readonly #settings: AnalyserSettings;
  readonly #limit;
  readonly #breaker;
  readonly #retry;

  constructor(deps: AnalyserDeps, settings: Partial<AnalyserSettings> = {}) {
    this.#deps = deps;
    this.#settings = { ...ANALYSER_DEFAULTS, ...settings };
    const { maxConcurrency, breakerFailures, breakerOpenMs, maxAttempts } = this.#settings;
    this.#limit = bulkhead(maxConcurrency);
    this.#breaker = circuitBreaker(handleAll, {
      halfOpenAfter: breakerOpenMs,
      breaker: new ConsecutiveBreaker(breakerFailures),
    });
    this.#retry = retry(
      handleWhen((error) => error instanceof ProviderFailedError && error.retryable),
      { maxAttempts: maxAttempts - 1, backoff: new ExponentialBackoff({ initialDelay: 50, maxDelay: 500 }) },
    );
  }

  get isCircuitOpen(): boolean {
    return this.#breaker.state === CircuitState.Open;
  }

  close(): void {
    this.#deps.provider.close();
  }

  /** @throws {@link UnsupportedLanguageError}; what `onAdverseEvent` throws */
  async analyse({ text, lang, onAdverseEvent }: Feedback): Promise<Analysed> {
    const watch = new Stopwatch();
    const language = watch.measure('language', () => lang ?? detectLanguage(text).language);
    // A text in another language is searched for harm all the same: it may have been taken for another one.
    const detection = watch.measure('detection', () => detectIn(text, lang, language));
    if (language === undefined) throw new UnsupportedLanguageError(detectLanguage(text).likeliest);
    const { text: maskedText, counts: maskedCounts } = watch.measure('masking', () => mask(text));
    const reported = detection.isAdverse ? onAdverseEvent?.({ detection, language, maskedText }) : undefined;
    // An error of it is raised below; until then it is not unhandled.
    reported?.catch(() => {});
    const asked = await this.#ask({ maskedText, language }, watch);
    const provided = asked.provided ?? watch.measure('local', () => analyseLocally(maskedText, language, detection));
    await reported;
    const { provider } = this.#deps;
    const isLocal = asked.provided === undefined;
    const insights: Insights = {
      language,
      ...{ sentiment: provided.sentiment, sentiment_score: provided.sentiment_score, topics: provided.topics },
      unmet_needs: provided.unmet_needs,
      adverse_event_detected: detection.isAdverse,
      adverse_event_score: Math.round(detection.score * 1_000) / 1_000,
      safety_concerns: allConcerns(detection, provided),
      ...{ marketing_insights: provided.marketing_insights, recommendations: provided.recommendations },
      ...(isLocal
        ? { provider: 'local', model: 'insights-linear-1' }
        : { provider: provider.name, model: provider.model }),
      ...{ degraded: asked.failure !== null, degraded_reason: asked.failure },
      ...{ stages: watch.stages, latency_ms: Math.round(watch.elapsedMs() * 10) / 10 },
    };
    return { insights, maskedText, maskedCounts, cost: asked.cost, tokens: asked.tokens };
  }

  async #ask(
    request: { readonly maskedText: string; readonly language: Language },
    watch: Stopwatch,
  ): Promise<{
    readonly provided: Provided | undefined;
    readonly failure: string | null;
    readonly cost: number;
    readonly tokens: { readonly input: number; readonly output: number };
  }> {
    const { provider } = this.#deps;
    const tokens = { input: 0, output: 0 };
    const count = ({ inputTokens, outputTokens }: ProviderAnswer): void => {
      tokens.input += inputTokens;
      tokens.output += outputTokens;
    };
    const costOf = (): number =>
      (tokens.input * provider.prices.input + tokens.output * provider.prices.output) / 1_000_000;
    // The local answer is made by the caller: it has the detection already.
    if (provider.name === 'local') return { provided: undefined, failure: null, cost: 0, tokens };
    const leftMs = Math.max(1, this.#settings.deadlineMs - RESERVE_MS - watch.elapsedMs());
    const from = performance.now();
    try {
      const policy = wrap(this.#limit, timeout(leftMs, TimeoutStrategy.Aggressive), this.#retry, this.#breaker);
      // A signal of its own: without one, all calls add listeners to a shared signal.
      const provided = await policy.execute(async ({ signal }) => {
        const answer = await provider.analyse(request, signal);
        count(answer);
        return checkProvided(answer.content, request.maskedText, request.language);
      }, new AbortController().signal);
      watch.record('provider', from, 'ok');
      return { provided, failure: null, cost: costOf(), tokens };
    } catch (error) {
      watch.record('provider', from, 'failed');
      return { provided: undefined, failure: reasonOf(error), cost: costOf(), tokens };
    }
  }
}

function detectIn(text: string, lang: Language | undefined, language: Language | undefined): Detection {
  if (lang !== undefined) return detect(text, lang);
  if (language !== undefined && detectLanguage(text).isSure) return detect(text, language);
  // Not sure of the language: the one that finds most decides what is safe, that of the text what is said.
  const found = LANGUAGES.map((each) => detect(text, each));
  const own = language === undefined ? undefined : found[LANGUAGES.indexOf(language)];
  const adverse = found.filter(({ signals }) => signals.certain.length > 0)[0];
  if (own === undefined) return found.reduce((best, each) => (each.score > best.score ? each : best));
  return own.isAdverse || adverse === undefined ? own : { ...own, isAdverse: true, concerns: adverse.concerns };
}

/** The local ones, and words that the provider quotes besides: it may add, never take away. */
function allConcerns({ concerns }: Detection, { safety_concerns: quoted }: Provided): readonly SafetyConcern[] {
  const known = concerns.map(({ words }) => words.toLowerCase()).filter((words) => words !== '');
  const added = quoted.filter(({ words }) => !known.some((each) => words.toLowerCase().includes(each)));
  return [
    ...concerns,
    ...added.map(({ words }) => ({ concern: 'reported_by_provider', words, found_by: 'provider' }) as const),
  ];
}

function reasonOf(error: unknown): string {
  if (isTaskCancelledError(error)) return 'deadline';
  if (isBrokenCircuitError(error)) return 'circuit_open';
  if (isBulkheadRejectedError(error)) return 'concurrency_limit';
  if (error instanceof ProviderFailedError) return error.reason;
  return 'failed';
}
