import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export { Counter, Gauge, Histogram, Registry };

/** One registry per process; every service's GET /metrics prints it. */
export function createMetricsRegistry(options: { process?: boolean } = {}): Registry {
  const registry = new Registry();
  if (options.process ?? true) collectDefaultMetrics({ register: registry });
  return registry;
}

/** Histogram bounds for request and feature latencies, seconds. */
export const LATENCY_BUCKETS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** A gauge that several parts of a process share: the registry's own when it is there already. */
export function gaugeOf<Label extends string>(
  registry: Registry,
  settings: {
    readonly name: string;
    readonly help: string;
    readonly labelNames: readonly Label[];
    readonly collect?: () => void;
  },
): Gauge<Label> {
  const existing = registry.getSingleMetric(settings.name);
  if (existing !== undefined) return existing as Gauge<Label>;
  return new Gauge({ ...settings, labelNames: [...settings.labelNames], registers: [registry] });
}

/** A counter that several parts of a process share: the registry's own when it exists already. */
export function counterOf<Label extends string = string>(
  registry: Registry,
  settings: { readonly name: string; readonly help: string; readonly labelNames?: readonly Label[] },
): Counter<Label> {
  const existing = registry.getSingleMetric(settings.name);
  if (existing !== undefined) return existing as Counter<Label>;
  return new Counter({ ...settings, labelNames: [...(settings.labelNames ?? [])], registers: [registry] });
}

/**
 * Keeps one value of a kind for each registry: what the parts of a job share that report to one registry, such as the state of its sinks.
 *
 * @returns the registry's value, made at the first call
 */
export function sharedByRegistry<T>(make: (registry: Registry) => T): (registry: Registry) => T {
  const values = new WeakMap<Registry, T>();
  return (registry) => {
    let value = values.get(registry);
    if (value === undefined) {
      value = make(registry);
      values.set(registry, value);
    }
    return value;
  };
}

/** A counter's value, of all its labels together. */
export async function totalOf(counter: { get(): Promise<{ values: { value: number }[] }> }): Promise<number> {
  return (await counter.get()).values.reduce((sum, { value }) => sum + value, 0);
}
