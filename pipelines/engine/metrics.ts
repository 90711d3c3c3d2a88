/**
 * Metrics of a DoFn: fields of it, counted where it runs and added up by the runner.
 *
 * ```ts
 * class Parse implements DoFn<string, Row> {
 *   readonly broken = new Counter('broken');
 *   process(line: string, context: ProcessContext<Row>): void { … this.broken.inc(); … }
 * }
 * ```
 */
export class Counter {
  readonly name: string;
  value = 0;

  constructor(name: string) {
    this.name = name;
  }

  inc(by = 1): void {
    this.value += by;
  }
}

/** Count, sum, smallest and largest of what it was given; integers. */
export class Distribution {
  readonly name: string;
  count = 0;
  sum = 0;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;

  constructor(name: string) {
    this.name = name;
  }

  update(value: number): void {
    this.count += 1;
    this.sum += value;
    if (value < this.min) this.min = value;
    if (value > this.max) this.max = value;
  }
}

/** The newest value. */
export class Gauge {
  readonly name: string;
  value = 0;
  /** When it was set, ms since the epoch; 0 when it was not. */
  setAt = 0;

  constructor(name: string) {
    this.name = name;
  }

  set(value: number): void {
    this.value = value;
    this.setAt = Date.now();
  }
}

export type Metric = Counter | Distribution | Gauge;

/** The metrics that a DoFn has as fields. */
export const metricsOf = (doFn: object): readonly Metric[] =>
  Object.values(doFn).filter(
    (field): field is Metric => field instanceof Counter || field instanceof Distribution || field instanceof Gauge,
  );

/** A metric as plain data. */
export type SavedMetric =
  | { readonly kind: 'counter'; readonly name: string; readonly value: number }
  | { readonly kind: 'gauge'; readonly name: string; readonly value: number; readonly setAt: number }
  | {
      readonly kind: 'distribution';
      readonly name: string;
      readonly count: number;
      readonly sum: number;
      readonly min: number;
      readonly max: number;
    };

export function saveMetric(metric: Metric): SavedMetric {
  if (metric instanceof Counter) return { kind: 'counter', name: metric.name, value: metric.value };
  if (metric instanceof Gauge) return { kind: 'gauge', name: metric.name, value: metric.value, setAt: metric.setAt };
  const { name, count, sum, min, max } = metric;
  return { kind: 'distribution', name, count, sum, min, max };
}

/** One metric for several that were kept apart, at least one: counts added up, the newest gauge. */
export function mergeMetrics(metrics: readonly SavedMetric[]): Metric {
  const [{ kind, name }] = metrics as [SavedMetric];
  if (kind === 'distribution') {
    const merged = new Distribution(name);
    for (const one of metrics) {
      if (one.kind !== 'distribution') continue;
      merged.count += one.count;
      merged.sum += one.sum;
      merged.min = Math.min(merged.min, one.min);
      merged.max = Math.max(merged.max, one.max);
    }
    return merged;
  }
  if (kind === 'gauge') {
    const merged = new Gauge(name);
    for (const one of metrics) {
      if (one.kind !== 'gauge' || one.setAt < merged.setAt) continue;
      merged.value = one.value;
      merged.setAt = one.setAt;
    }
    return merged;
  }
  const merged = new Counter(name);
  for (const one of metrics) if (one.kind === 'counter') merged.inc(one.value);
  return merged;
}
