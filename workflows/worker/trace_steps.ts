import { type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { derivedId } from '#kernel/hashes/derived_id';
import { isTraced, startBelow } from '#monitoring/tracing';

const tracer = trace.getTracer('headwater.workflows');
const SPAN_CHARS = 16;
let hasTraces: boolean | undefined;

/** Returns what the steps of a run are below: a trace that follows from the run's id, whichever workers run them and however long it waits. */
export function traceparentOfRun(run: string): string {
  return `00-${derivedId(['run', run])}-${derivedId(['span of run', run]).slice(0, SPAN_CHARS)}-01`;
}

/** Starts the span of an attempt of a step; undefined where traces are not recorded. */
export function startStep(
  run: string,
  step: { readonly workflow: string; readonly state: string; readonly attempt: number; readonly task: string },
): Span | undefined {
  hasTraces ??= isTraced();
  if (!hasTraces) return undefined;
  const attributes = Object.fromEntries(Object.entries(step).map(([name, value]) => [`workflow.${name}`, value]));
  return startBelow(tracer, traceparentOfRun(run), `${step.workflow} ${step.state}`, {
    kind: SpanKind.INTERNAL,
    attributes: { 'workflow.run': run, ...attributes },
  });
}

/** Ends the span of an attempt. */
export function endStep(
  span: Span | undefined,
  failure: { readonly error: string; readonly cause: string } | undefined,
): void {
  if (span === undefined) return;
  if (failure !== undefined)
    span.setStatus({ code: SpanStatusCode.ERROR, message: `${failure.error}: ${failure.cause}` });
  span.end();
}
