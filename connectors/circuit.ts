import { type CircuitBreakerPolicy, ConsecutiveBreaker, circuitBreaker, handleWhen } from 'cockatiel';
import type { Logger } from '#monitoring/log';
import { gaugeOf, type Registry } from '#monitoring/metrics';

const HALF_OPEN_AFTER_MS = 1_000;

export interface CircuitSettings {
  /** For messages and the metric `circuit_open{target}`. */
  readonly target: string;
  readonly failuresBeforeOpen: number;
  /** Errors that say something about the target, not about what it was asked. */
  readonly isFailure: (error: unknown) => boolean;
}

/** Leaves a target alone for a second after so many failures in a row, then tries once; logs it and counts it as a metric. */
export function createCircuit(
  { log, metrics }: { readonly log: Logger; readonly metrics: Registry },
  { target, failuresBeforeOpen, isFailure }: CircuitSettings,
): CircuitBreakerPolicy {
  const gauge = gaugeOf(metrics, {
    name: 'circuit_open',
    help: '1 while nothing is sent to the target because it has failed again and again',
    labelNames: ['target'],
  });
  gauge.set({ target }, 0);
  const circuit = circuitBreaker(handleWhen(isFailure), {
    halfOpenAfter: HALF_OPEN_AFTER_MS,
    breaker: new ConsecutiveBreaker(failuresBeforeOpen),
  });
  circuit.onBreak(() => {
    gauge.set({ target }, 1);
    log.warn({ target }, 'circuit.open');
  });
  circuit.onReset(() => {
    gauge.set({ target }, 0);
    log.info({ target }, 'circuit.closed');
  });
  return circuit;
}
