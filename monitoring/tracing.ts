import {
  type Attributes,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TimeInput,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace-node';
import type { FastifyInstance } from 'fastify';
import { type Environment, environment } from '#configs/environment';
import type { Service } from '#kernel/lifecycle';
import { importOptional } from '#kernel/optional_package';
import { hideSecrets, isSecretName, REDACTED } from '#kernel/secrets';
import { otlpResource } from './otlp_resource.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Of the request, where it is traced. */
    span?: Span | undefined;
  }
}

/** Where spans go, as OpenTelemetry names it; without, none are made. */
export const isTraced = (env: Environment = environment()): boolean =>
  (env.OTEL_EXPORTER_OTLP_ENDPOINT ?? env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? '') !== '';

/**
 * Sends spans to an OpenTelemetry collector over OTLP/HTTP, as the standard variables say (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME,
 * OTEL_TRACES_SAMPLER, …). In batches, behind the work; what the collector does not take is dropped.
 */
export class Tracing implements Service {
  readonly name = 'tracing';
  #shutDown: () => Promise<void> = async () => {};

  async start(): Promise<void> {
    const [{ NodeTracerProvider, BatchSpanProcessor }, { OTLPTraceExporter }, resources] = await importOptional(
      {
        packages: [
          '@opentelemetry/sdk-trace-node',
          '@opentelemetry/exporter-trace-otlp-http',
          '@opentelemetry/resources',
        ],
        use: 'OTEL_EXPORTER_OTLP_ENDPOINT',
      },
      () =>
        Promise.all([
          import('@opentelemetry/sdk-trace-node'),
          import('@opentelemetry/exporter-trace-otlp-http'),
          import('@opentelemetry/resources'),
        ]),
    );
    const provider = new NodeTracerProvider({
      resource: otlpResource(resources),
      spanProcessors: [new SecretsHider(), new BatchSpanProcessor(new OTLPTraceExporter())],
    });
    provider.register();
    this.#shutDown = () => provider.shutdown();
  }

  async drain(): Promise<void> {}

  async stop(): Promise<void> {
    await this.#shutDown().catch(() => {});
  }
}

/** Takes credentials out of spans that have ended, before they are exported: attributes, events (exceptions with their stacks), status. */
export class SecretsHider implements SpanProcessor {
  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    hideIn(span.attributes);
    for (const { attributes } of span.events) if (attributes !== undefined) hideIn(attributes);
    for (const { attributes } of span.links) if (attributes !== undefined) hideIn(attributes);
    const { message } = span.status;
    if (message !== undefined) (span.status as { message?: string }).message = hideSecrets(message);
  }

  async forceFlush(): Promise<void> {}

  async shutdown(): Promise<void> {}
}

function hideIn(attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    const isSecret = isSecretName(name.split('.').at(-1) as string);
    if (typeof value === 'string') attributes[name] = isSecret ? REDACTED : hideSecrets(value);
    else if (Array.isArray(value)) {
      attributes[name] = value.map((item) =>
        typeof item === 'string' ? (isSecret ? REDACTED : hideSecrets(item)) : item,
      ) as string[];
    }
  }
}

/** Header of records and requests: which trace, and which span of it. */
export const TRACEPARENT = 'traceparent';

/** What work that follows from a span carries along, by W3C's Trace Context; undefined where traces are not recorded. */
export function traceparentOf(span: Span | undefined): string | undefined {
  if (span?.isRecording() !== true) return undefined;
  const { traceId, spanId, traceFlags } = span.spanContext();
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

/** A span below the one that a record carries. */
export function startBelow(
  tracer: Tracer,
  traceparent: string,
  name: string,
  options: { readonly kind: SpanKind; readonly attributes: Attributes; readonly startTime?: TimeInput },
): Span {
  return tracer.startSpan(name, options, propagation.extract(ROOT_CONTEXT, { [TRACEPARENT]: traceparent }));
}

/** Requests to these routes are no part of a trace. */
const isOfOperations = (route: string): boolean => route === '/metrics' || route.startsWith('/health');

/** A span for each request, below the caller's (`traceparent`), by the conventions of OpenTelemetry for HTTP. */
export function traceRequests(app: FastifyInstance, service: string): void {
  const tracer = trace.getTracer(`headwater.${service}`);
  app.addHook('onRequest', (request, _, done) => {
    const route = request.routeOptions.url ?? 'unknown';
    if (!isOfOperations(route)) {
      const attributes = {
        'http.request.method': request.method,
        'http.route': route,
        'http.request.header.x-request-id': [request.id],
      };
      const parent = propagation.extract(context.active(), request.headers);
      request.span = tracer.startSpan(`${request.method} ${route}`, { kind: SpanKind.SERVER, attributes }, parent);
    }
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    const { span } = request;
    span?.setAttribute('http.response.status_code', reply.statusCode);
    if (reply.statusCode >= 500) span?.setStatus({ code: SpanStatusCode.ERROR });
    span?.end();
    done();
  });
}
