import type { Service } from '#kernel/lifecycle';

/** Where spans go, as OpenTelemetry names it; without, none are made. */
export const isTraced = (env: Readonly<Record<string, string | undefined>> = process.env): boolean =>
  (env.OTEL_EXPORTER_OTLP_ENDPOINT ?? env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? '') !== '';

/**
 * Sends spans to an OpenTelemetry collector over OTLP/HTTP, as the standard variables say (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME,
 * OTEL_TRACES_SAMPLER, …). In batches, behind the work; what the collector does not take is dropped.
 */
export class Tracing implements Service {
  readonly name = 'tracing';
  #shutDown: () => Promise<void> = async () => {};

  async start(): Promise<void> {
    const [{ NodeTracerProvider, BatchSpanProcessor }, { OTLPTraceExporter }] = await Promise.all([
      import('@opentelemetry/sdk-trace-node'),
      import('@opentelemetry/exporter-trace-otlp-http'),
    ]);
    const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
    provider.register();
    this.#shutDown = () => provider.shutdown();
  }

  async drain(): Promise<void> {}

  async stop(): Promise<void> {
    await this.#shutDown().catch(() => {});
  }
}
