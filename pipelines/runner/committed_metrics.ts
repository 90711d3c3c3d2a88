import { type Metric, mergeMetrics, type SavedMetric, saveMetric } from '#pipelines/engine/metrics';
import type { Execution } from './execution.ts';
import type { PipelineMetrics } from './pipeline_metrics.ts';

/** What a job has counted, as of one moment. */
interface Totals {
  readonly elements: ReadonlyMap<string, number>;
  readonly droppedLate: ReadonlyMap<string, number>;
  readonly user: ReadonlyMap<string, { readonly transform: string; readonly metric: SavedMetric }>;
}

const NOTHING: Totals = { elements: new Map(), droppedLate: new Map(), user: new Map() };

/**
 * Counts of bundles that are committed. An execution counts from zero, and a bundle that fails is done again from the newest snapshot by a new one: what was counted up to
 * that snapshot is added to what the execution has counted since, and what came after it is counted once.
 */
export class CommittedMetrics {
  readonly #metrics: PipelineMetrics | undefined;
  #droppedLate = new Map<string, number>();
  /** Up to the snapshot that the execution began from. */
  #base = NOTHING;
  /** Up to the newest durable snapshot. */
  #durable = NOTHING;
  #current = NOTHING;
  /** The most that was reported of each counter: counters of Prometheus never go back. */
  readonly #reported = new Map<string, number>();

  constructor(metrics: PipelineMetrics | undefined) {
    this.#metrics = metrics;
  }

  /** Counts an element that was dropped, once its bundle is committed. */
  dropLate(transform: string): void {
    this.#droppedLate.set(transform, (this.#droppedLate.get(transform) ?? 0) + 1);
  }

  /** A bundle was committed. */
  report(execution: Pick<Execution, 'elementCounts' | 'metrics'>): void {
    const metrics = this.#metrics;
    if (metrics === undefined) return;
    this.#current = {
      elements: sums(this.#base.elements, execution.elementCounts()),
      droppedLate: sums(this.#base.droppedLate, this.#droppedLate),
      user: this.#userTotals(execution.metrics),
    };
    const { elements, droppedLate, user } = this.#current;
    for (const [transform, count] of elements) {
      const more = this.#more(`elements ${transform}`, count);
      if (more > 0) metrics.elements.inc({ transform }, more);
    }
    for (const [transform, count] of droppedLate) {
      const more = this.#more(`late ${transform}`, count);
      if (more > 0) metrics.droppedLate.inc({ transform }, more);
    }
    for (const { transform, metric } of user.values()) metrics.setUserMetric(transform, mergeMetrics([metric]));
  }

  /** A snapshot begins; call what it returns when that is durable. */
  beginSnapshot(): () => void {
    const totals = this.#current;
    return () => {
      this.#durable = totals;
    };
  }

  /** Another execution begins, from the newest durable snapshot. */
  restart(): void {
    this.#base = this.#durable;
    this.#current = this.#durable;
    this.#droppedLate = new Map();
  }

  #more(counter: string, count: number): number {
    const before = this.#reported.get(counter) ?? 0;
    if (count <= before) return 0;
    this.#reported.set(counter, count);
    return count - before;
  }

  #userTotals(live: readonly { readonly transform: string; readonly metric: Metric }[]): Totals['user'] {
    const totals = new Map(this.#base.user);
    for (const { transform, metric } of live) {
      const id = `${transform}\u0000${metric.name}`;
      const before = this.#base.user.get(id)?.metric;
      const now = saveMetric(metric);
      const merged = before === undefined || before.kind !== now.kind ? now : saveMetric(mergeMetrics([before, now]));
      totals.set(id, { transform, metric: merged });
    }
    return totals;
  }
}

function sums(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  if (a.size === 0) return new Map(b);
  const total = new Map(a);
  for (const [name, count] of b) total.set(name, (total.get(name) ?? 0) + count);
  return total;
}
