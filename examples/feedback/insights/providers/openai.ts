import { z } from 'zod';
import { providedJsonSchema } from '../contract.ts';
import { ProviderFailedError } from '../errors.ts';
import { systemPrompt, TOOL, userPrompt } from './prompt.ts';
import type { InsightProvider } from './provider.ts';

export interface OpenAiSettings {
  /** Up to and with `/v1`. */
  readonly baseUrl: string;
  readonly model: string;
  readonly apiKey?: string | undefined;
  readonly prices: InsightProvider['prices'];
  readonly maxTokens: number;
}

/** The part of a chat completion that is read; everything else may be there. */
const completionSchema = z.object({
  choices: z
    .array(z.object({ finish_reason: z.string().nullish(), message: z.object({ content: z.string().nullish() }) }))
    .min(1),
  usage: z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }).partial().nullish(),
});

/** Bytes of an answer that are read. */
const LARGEST_ANSWER = 200_000;

/** OpenAI, vLLM, Ollama, LM Studio and others, by POST /chat/completions with a JSON schema that the answer is held to. */
export function openAiProvider({ baseUrl, model, apiKey, prices, maxTokens }: OpenAiSettings): InsightProvider {
  const url = `${baseUrl.replace(/\/$/, '')}/chat/completions`;
  const headers = {
    'content-type': 'application/json',
    ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
  };
  return {
    ...{ name: 'openai', model, prices },
    async analyse(request, signal) {
      const body = JSON.stringify({
        ...{ model, max_tokens: maxTokens, temperature: 0 },
        messages: [
          { role: 'system', content: systemPrompt(request) },
          { role: 'user', content: userPrompt(request) },
        ],
        response_format: { type: 'json_schema', json_schema: { name: TOOL, strict: true, schema: providedJsonSchema } },
      });
      const answer = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'error' }).catch(() => {
        throw new ProviderFailedError('unavailable', 'the server of the openai provider does not answer');
      });
      if (!answer.ok) {
        await answer.body?.cancel();
        const isPassing = answer.status >= 500 || answer.status === 429 || answer.status === 408;
        throw new ProviderFailedError(
          isPassing ? 'unavailable' : 'refused',
          `the openai provider answers ${answer.status}`,
        );
      }
      const text = await answer.text().catch(() => {
        throw new ProviderFailedError('unavailable', 'the answer of the openai provider broke off');
      });
      const completion = completionSchema.safeParse(parseJson(text));
      const choice = completion.data?.choices[0];
      if (choice?.message.content == null)
        throw new ProviderFailedError('unreadable', 'the answer of the openai provider is not a chat completion');
      const { prompt_tokens = 0, completion_tokens = 0 } = completion.data?.usage ?? {};
      return {
        content: parseJson(choice.message.content),
        inputTokens: prompt_tokens,
        outputTokens: completion_tokens,
      };
    },
    close: () => {},
  };
}

function parseJson(text: string): unknown {
  if (text.length > LARGEST_ANSWER)
    throw new ProviderFailedError('unreadable', `the answer has ${text.length} characters`);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new ProviderFailedError('unreadable', 'the answer of the openai provider is not JSON');
  }
}
