import { z } from 'zod';
import { ANALYSER_DEFAULTS } from './analyser.ts';
import { bedrockProvider } from './providers/bedrock.ts';
import { localProvider } from './providers/local.ts';
import { openAiProvider } from './providers/openai.ts';
import type { InsightProvider } from './providers/provider.ts';

const number = z.coerce.number();
const isTrue = z.enum(['true', 'false']).transform((value) => value === 'true');

/** Environment variables of the project. */
export const settingsSchema = z.object({
  FEEDBACK_PROVIDER: z.enum(['local', 'bedrock', 'openai']).default('local'),
  FEEDBACK_MODEL: z.string().min(1).optional(),
  FEEDBACK_BEDROCK_REGION: z.string().min(1).default('us-east-1'),
  FEEDBACK_BEDROCK_ENDPOINT: z.url().optional(),
  FEEDBACK_OPENAI_URL: z.url().default('https://api.openai.com/v1'),
  FEEDBACK_OPENAI_KEY: z.string().min(1).optional(),
  /** USD for a million tokens. */
  FEEDBACK_PRICE_INPUT: number.nonnegative().default(0),
  FEEDBACK_PRICE_OUTPUT: number.nonnegative().default(0),
  FEEDBACK_MAX_TOKENS: number.int().positive().default(700),
  FEEDBACK_DEADLINE_MS: number.int().min(100).max(10_000).default(ANALYSER_DEFAULTS.deadlineMs),
  FEEDBACK_MAX_CONCURRENCY: number.int().positive().default(ANALYSER_DEFAULTS.maxConcurrency),
  /** Adverse events and, where they are kept, comments: a folder, or postgres://… */
  FEEDBACK_DATABASE: z.string().min(1).default('.headwater/feedback'),
  /** Keeps comments as they came, for FEEDBACK_TEXT_DAYS. */
  FEEDBACK_KEEP_TEXT: isTrue.default(false),
  FEEDBACK_TEXT_DAYS: number.int().positive().default(30),
});
export type FeedbackSettings = z.infer<typeof settingsSchema>;

const DEFAULT_MODELS = { bedrock: 'anthropic.claude-3-haiku-20240307-v1:0', openai: 'gpt-4o-mini' } as const;

/** @throws z.ZodError naming the variables: the role does not start */
export const readSettings = (environment: Readonly<Record<string, string | undefined>>): FeedbackSettings =>
  settingsSchema.parse(environment);

export function providerOf(settings: FeedbackSettings): InsightProvider {
  const prices = { input: settings.FEEDBACK_PRICE_INPUT, output: settings.FEEDBACK_PRICE_OUTPUT };
  const maxTokens = settings.FEEDBACK_MAX_TOKENS;
  const makers: Readonly<Record<FeedbackSettings['FEEDBACK_PROVIDER'], () => InsightProvider>> = {
    local: localProvider,
    bedrock: () =>
      bedrockProvider({
        ...{ region: settings.FEEDBACK_BEDROCK_REGION, endpoint: settings.FEEDBACK_BEDROCK_ENDPOINT },
        ...{ model: settings.FEEDBACK_MODEL ?? DEFAULT_MODELS.bedrock, prices, maxTokens },
      }),
    openai: () =>
      openAiProvider({
        ...{ baseUrl: settings.FEEDBACK_OPENAI_URL, apiKey: settings.FEEDBACK_OPENAI_KEY },
        ...{ model: settings.FEEDBACK_MODEL ?? DEFAULT_MODELS.openai, prices, maxTokens },
      }),
  };
  return makers[settings.FEEDBACK_PROVIDER]();
}
