import { type Span, SpanKind, trace } from '@opentelemetry/api';
import { type FeatureRow, type ViewReference, viewId } from '#feature_store/definitions/values/feature_row';
import { startBelow } from '#monitoring/tracing';

// What becomes of an event whose request was traced: a span for each view that is computed of it, and below that one for the row's way into the stores.

const tracer = trace.getTracer('headwater.pipeline');

export function startComputing(traceparent: string, view: ViewReference): Span {
  const attributes = { 'headwater.view': viewId(view) };
  return startBelow(tracer, traceparent, `compute ${viewId(view)}`, { kind: SpanKind.CONSUMER, attributes });
}

/** @param beganMs - when writing began, ms; it ended now */
export function traceWritten(traceparent: string, row: FeatureRow, beganMs: number): void {
  const attributes = { 'headwater.view': viewId(row) };
  const options = { kind: SpanKind.CLIENT, attributes, startTime: beganMs };
  startBelow(tracer, traceparent, `write ${viewId(row)}`, options).end();
}
