import { z } from 'zod';
import { LANGUAGES, type Language } from './languages.ts';
import type { Concern } from './lexicons/lexicon.ts';
import { TOPICS, type Topic } from './lexicons/lexicon.ts';
import { SENTIMENTS, type Sentiment } from './model.ts';

/** Characters of a text, at most. */
export const LONGEST_TEXT = 5_000;

const sentence = z.string().trim().min(1).max(400);

/** What a provider answers, and nothing else: unknown fields are refused. */
export const providedSchema = z.strictObject({
  sentiment: z.enum(SENTIMENTS),
  sentiment_score: z.number().min(-1).max(1),
  topics: z.array(z.enum(TOPICS)).min(1).max(TOPICS.length),
  unmet_needs: z.array(sentence).max(5),
  safety_concerns: z.array(z.strictObject({ words: z.string().trim().min(2).max(200) })).max(10),
  marketing_insights: z.array(sentence).max(5),
  recommendations: z.array(sentence).min(1).max(5),
});
export type Provided = z.infer<typeof providedSchema>;

/** The same as JSON Schema, which providers are held to. */
export const providedJsonSchema = z.toJSONSchema(providedSchema, { target: 'draft-7' });

export interface SafetyConcern {
  readonly concern: Concern | 'reported_by_provider' | 'likely_by_wording';
  /** Of the text, that triggered it; empty where the wording as a whole did. */
  readonly words: string;
  readonly found_by: 'local' | 'provider';
}

export const STAGES = ['language', 'detection', 'masking', 'provider', 'check', 'local'] as const;
export type StageName = (typeof STAGES)[number];

export interface Stage {
  readonly stage: StageName;
  readonly ms: number;
  readonly outcome: 'ok' | 'failed' | 'skipped';
}

/** The answer of POST /insights. */
export interface Insights {
  readonly language: Language;
  readonly sentiment: Sentiment;
  /** -1 to 1 */
  readonly sentiment_score: number;
  readonly topics: readonly Topic[];
  readonly unmet_needs: readonly string[];
  readonly adverse_event_detected: boolean;
  /** 0 to 1, of the local model. */
  readonly adverse_event_score: number;
  readonly safety_concerns: readonly SafetyConcern[];
  readonly marketing_insights: readonly string[];
  readonly recommendations: readonly string[];
  /** Whose answer it is: `local`, `bedrock` or `openai`. */
  readonly provider: string;
  readonly model: string;
  /** The configured provider did not answer, or not as it has to: the local answer is given. */
  readonly degraded: boolean;
  /** Why it is degraded; null otherwise. */
  readonly degraded_reason: string | null;
  readonly stages: readonly Stage[];
  readonly latency_ms: number;
}

export const requestSchema = {
  type: 'object',
  required: ['text'],
  additionalProperties: false,
  properties: {
    text: { type: 'string', minLength: 1, maxLength: LONGEST_TEXT, pattern: '\\S' },
    lang: { type: 'string', enum: [...LANGUAGES] },
    customer_id: { type: 'string', minLength: 1, maxLength: 200 },
  },
} as const;
