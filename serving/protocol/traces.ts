import { context, type Span, trace } from '@opentelemetry/api';
import type { StageTimes } from '../models/call.ts';

const tracer = trace.getTracer('headwater.serving');
const STAGES = ['parse', 'features', 'queue', 'inference'] as const;

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
