import type { FastifyInstance } from 'fastify';
import type { OutgoingRecord, Producer } from '#connectors/connector';
import { DeadLetterWriter } from '#connectors/dead_letters/dead_letter_writer';
import { ConnectionError, refusalOf } from '#connectors/errors';
import { gatewayConfigSchema } from '#connectors/gateway/config';
import type { EventType } from '#connectors/gateway/events/event_validator';
import { createGateway } from '#connectors/gateway/gateway';
import type { GatewayPlugin } from '#connectors/gateway/plugin';
import { transactions } from '#examples/fraud/features/transactions';
import { DAY_MS, systemClock } from '#kernel/time';
import type { HttpService } from '#monitoring/http/http_service';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry, type Registry } from '#monitoring/metrics';

export interface Sent {
  readonly topic: string;
  readonly record: OutgoingRecord;
}

/** A gateway before a producer that can be made to fail. */
export interface TestGateway {
  readonly service: HttpService;
  readonly app: FastifyInstance;
  readonly metrics: Registry;
  /** What the broker holds. */
  readonly sent: Sent[];
  readonly broker: { mode: 'up' | 'down' | 'hanging' };
  post(
    path: string,
    payload: string | Buffer,
    headers?: Record<string, string>,
  ): Promise<{ status: number; body: Record<string, unknown>; headers: Record<string, unknown> }>;
  valuesOf(topic: string): Record<string, unknown>[];
}

export async function createTestGateway(
  settings: object = {},
  eventTypes: readonly EventType[] = [transactions],
  refuse: (topic: string, record: OutgoingRecord) => Error | undefined = () => undefined,
  plugins: readonly GatewayPlugin[] = [],
): Promise<TestGateway> {
  const sent: Sent[] = [];
  const broker: TestGateway['broker'] = { mode: 'up' };
  const metrics = createMetricsRegistry({ process: false });
  const producer: Producer = {
    async send(topic, records) {
      await new Promise((resolve) => setImmediate(resolve));
      if (broker.mode === 'hanging') await new Promise(() => {});
      if (broker.mode === 'down') throw new ConnectionError('the broker', new Error('down'));
      const refused = new Map<number, Error>();
      for (const [index, record] of records.entries()) {
        const refusal = refuse(topic, record);
        if (refusal === undefined) sent.push({ topic, record });
        else refused.set(index, refusal);
      }
      if (refused.size > 0) throw refusalOf(topic, records.length, refused);
    },
  };
  const deadLetters = new DeadLetterWriter({ producer, metrics, log: silentLogger }, { topic: 'dead-letter-queue' });
  const service = await createGateway(
    {
      producer,
      deadLetters,
      eventTypes,
      allowedLatenessMs: 7 * DAY_MS,
      clock: systemClock,
      log: silentLogger,
      metrics,
      plugins,
    },
    gatewayConfigSchema.parse({ port: 0, ...settings }),
    { rawEvents: 'raw-events', deadLetters: 'dead-letter-queue' },
  );
  return {
    service,
    app: service.app,
    metrics,
    sent,
    broker,
    async post(path, payload, headers = {}) {
      const answer = await service.app.inject({
        method: 'POST',
        url: path,
        payload,
        headers: { 'content-type': 'application/json', ...headers },
      });
      return { status: answer.statusCode, body: answer.json() as Record<string, unknown>, headers: answer.headers };
    },
    valuesOf: (topic) =>
      sent
        .filter((entry) => entry.topic === topic)
        .map(({ record }) => JSON.parse(String(record.value)) as Record<string, unknown>),
  };
}
