import { Gauge, type Registry } from './metrics.ts';

const NAME = 'circuit_open';

/** 1 while nothing is sent to a target because it has failed again and again; one gauge for all circuits of a process. */
export function circuitGauge(registry: Registry): Gauge<'target'> {
  const existing = registry.getSingleMetric(NAME);
  if (existing !== undefined) return existing as Gauge<'target'>;
  return new Gauge({
    name: NAME,
    help: '1 while nothing is sent to the target because it has failed again and again',
    labelNames: ['target'] as const,
    registers: [registry],
  });
}
