import { BedrockRuntimeClient, ConverseCommand, type ToolInputSchema } from '@aws-sdk/client-bedrock-runtime';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { providedJsonSchema } from '../contract.ts';
import { ProviderFailedError } from '../errors.ts';
import { systemPrompt, TOOL, userPrompt } from './prompt.ts';
import type { InsightProvider } from './provider.ts';

export interface BedrockSettings {
  readonly region: string;
  readonly model: string;
  /** Instead of AWS's own. */
  readonly endpoint?: string | undefined;
  readonly prices: InsightProvider['prices'];
  readonly maxTokens: number;
}

/** Answers that another attempt may change, by name of the exception (Bedrock Runtime API, Converse). */
const PASSING = new Set([
  ...['ThrottlingException', 'ServiceUnavailableException', 'InternalServerException', 'ModelTimeoutException'],
  ...['ModelNotReadyException', 'ModelErrorException'],
]);

/** Claude and others on Bedrock, by Converse with a tool that the model has to call. Credentials are found as the AWS SDK does. */
export function bedrockProvider(settings: BedrockSettings): InsightProvider {
  const { region, model, endpoint, prices, maxTokens } = settings;
  const client = new BedrockRuntimeClient({
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    // Attempts are counted by the caller, within its deadline.
    maxAttempts: 1,
    // HTTP/1.1: the default handler speaks HTTP/2, which proxies of companies often do not.
    requestHandler: new NodeHttpHandler({ connectionTimeout: 1_000 }),
  });
  return {
    ...{ name: 'bedrock', model, prices },
    async analyse(request, signal) {
      const command = new ConverseCommand({
        modelId: model,
        system: [{ text: systemPrompt(request) }],
        messages: [{ role: 'user', content: [{ text: userPrompt(request) }] }],
        inferenceConfig: { maxTokens, temperature: 0 },
        toolConfig: {
          tools: [
            { toolSpec: { name: TOOL, inputSchema: { json: providedJsonSchema } as unknown as ToolInputSchema } },
          ],
          toolChoice: { tool: { name: TOOL } },
        },
      });
      const answer = await client.send(command, { abortSignal: signal }).catch((error: unknown) => {
        const { name = 'Error', $metadata } = error as { name?: string; $metadata?: { httpStatusCode?: number } };
        const status = $metadata?.httpStatusCode;
        const isPassing = PASSING.has(name) || status === undefined || status >= 500 || status === 429;
        // The SDK's message may quote the request: its name says enough.
        throw new ProviderFailedError(
          isPassing ? 'unavailable' : 'refused',
          `bedrock answers ${name} (${status ?? 'no status'})`,
        );
      });
      const call = answer.output?.message?.content?.find((block) => block.toolUse?.name === TOOL)?.toolUse;
      if (call === undefined)
        throw new ProviderFailedError(
          'unreadable',
          `bedrock did not call the tool (${answer.stopReason ?? 'no reason'})`,
        );
      const { inputTokens = 0, outputTokens = 0 } = answer.usage ?? {};
      return { content: call.input, inputTokens, outputTokens };
    },
    close: () => client.destroy(),
  };
}
