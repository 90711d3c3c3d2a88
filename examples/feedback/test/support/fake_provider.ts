import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How the fake behaves: `down` closes connections, `slow` answers after ten seconds, `garbled` breaks its JSON, `lying` fits the schema and is not true. */
export const MODES = ['well', 'two_seconds', 'down', 'slow', 'garbled', 'lying'] as const;
export type Mode = (typeof MODES)[number];

export interface FakeProvider {
  readonly url: string;
  mode: Mode;
  /** Bodies that came, as text: what left the process. */
  readonly recorded: { readonly path: string; readonly body: string }[];
  close(): Promise<void>;
}

const TRUE = {
  sentiment: 'negative',
  sentiment_score: -0.8,
  topics: ['quality'],
  unmet_needs: [],
  safety_concerns: [],
  marketing_insights: [],
  recommendations: ['OK.'],
};
const LIE = {
  ...TRUE,
  sentiment: 'positive',
  sentiment_score: -1,
  safety_concerns: [{ words: 'words that were never written' }],
};

/** Bedrock's Converse and OpenAI's chat completions on a port of this machine; records what it is sent. */
export async function startFakeProvider(mode: Mode = 'well'): Promise<FakeProvider> {
  const fake: { mode: Mode; recorded: { path: string; body: string }[] } = { mode, recorded: [] };
  const answer = (response: ServerResponse, path: string): void => {
    const content = fake.mode === 'lying' ? LIE : TRUE;
    const usage = { prompt_tokens: 120, completion_tokens: 40 };
    const body = path.endsWith('/converse')
      ? {
          output: {
            message: {
              role: 'assistant',
              content: [{ toolUse: { toolUseId: 't', name: 'record_insights', input: content } }],
            },
          },
          stopReason: 'tool_use',
          usage: { inputTokens: 120, outputTokens: 40, totalTokens: 160 },
          metrics: { latencyMs: 1 },
        }
      : { choices: [{ finish_reason: 'stop', message: { content: JSON.stringify(content) } }], usage };
    const text = JSON.stringify(body);
    response.setHeader('content-type', 'application/json');
    response.end(fake.mode === 'garbled' ? text.slice(0, text.length / 2) : text);
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const path = decodeURIComponent(request.url ?? '');
      fake.recorded.push({ path, body: Buffer.concat(chunks).toString() });
      if (fake.mode === 'down') request.socket.destroy();
      else if (fake.mode === 'slow') setTimeout(() => answer(response, path), 10_000).unref();
      else if (fake.mode === 'two_seconds') setTimeout(() => answer(response, path), 2_000);
      else answer(response, path);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return Object.assign(fake, { url: `http://127.0.0.1:${port}`, close });
}
