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

/** Count, sum, smallest and largest of what it was given; whole numbers. */
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
