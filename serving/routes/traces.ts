import { context, propagation, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { FastifyInstance } from 'fastify';
import type { StageTimes } from '../runtime/call.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Of the request, where it is traced. */
    span: Span | undefined;
  }
}

const tracer = trace.getTracer('headwater.serving');
const STAGES = ['parse', 'features', 'queue', 'inference'] as const;

/** A span for each request, below the caller's (`traceparent`), by the conventions of OpenTelemetry for HTTP. */
export function traceRequests(app: FastifyInstance): void {
  app.decorateRequest('span', undefined);
  app.addHook('onRequest', (request, _, done) => {
    const route = request.routeOptions.url ?? 'unknown';
    const attributes = { 'http.request.method': request.method, 'http.route': route };
    const parent = propagation.extract(context.active(), request.headers);
    request.span = tracer.startSpan(`${request.method} ${route}`, { kind: SpanKind.SERVER, attributes }, parent);
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

/** The stages of a prediction as spans below that of its request. @param endedMs - of the last one, as `performance.now()` */
export function traceStages(span: Span, timing: StageTimes, endedMs: number): void {
  const parent = trace.setSpan(context.active(), span);
  let fromMs = performance.timeOrigin + endedMs - STAGES.reduce((sum, stage) => sum + timing[stage], 0);
  for (const stage of STAGES) {
    const own = tracer.startSpan(stage, { startTime: fromMs }, parent);
    fromMs += timing[stage];
    own.end(fromMs);
  }
}
