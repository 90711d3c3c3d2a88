import type { DriftReport } from '#monitoring/drift/drift_report';
import { type Gauge, gaugeOf, type Registry } from '#monitoring/metrics';

const STATISTICS = { psi: 'psi', ks: 'ks', cramersV: 'cramers_v' } as const;

/** Metrics of the newest window of each version; a version that is not asked any more is not told of any more. */
export class DriftMetrics {
  readonly #detected: Gauge<'model' | 'version' | 'kind' | 'column'>;
  readonly #statistic: Gauge<'model' | 'version' | 'column' | 'test'>;
  readonly #nulls: Gauge<'model' | 'version' | 'column'>;
  readonly #outOfRange: Gauge<'model' | 'version' | 'column'>;
  readonly #rows: Gauge<'model' | 'version'>;
  readonly #newest = new Map<string, DriftReport>();

  constructor(registry: Registry) {
    const ofColumn = ['model', 'version', 'column'] as const;
    this.#detected = gaugeOf(registry, {
      name: 'drift_detected',
      help: '1 for a column that is not distributed as in training, and for predictions that are not as in the first window',
      labelNames: ['model', 'version', 'kind', 'column'],
    });
    this.#statistic = gaugeOf(registry, {
      name: 'drift_statistic',
      help: 'How far a column is from training: psi, ks (Kolmogorov-Smirnov), cramers_v (strings)',
      labelNames: ['model', 'version', 'column', 'test'],
    });
    this.#nulls = gaugeOf(registry, {
      name: 'model_input_null_share',
      help: 'Share of predictions that lacked the column',
      labelNames: ofColumn,
    });
    this.#outOfRange = gaugeOf(registry, {
      name: 'model_input_out_of_range_share',
      help: 'Share of values below the smallest or above the largest of training',
      labelNames: ofColumn,
    });
    this.#rows = gaugeOf(registry, {
      name: 'monitored_rows',
      help: 'Predictions in the newest window',
      labelNames: ['model', 'version'],
    });
  }

  show(report: DriftReport): void {
    const { model, version: number, rows, columns, windowStartMs, windowMs } = report;
    const version = String(number);
    const key = `${model}|${version}`;
    if ((this.#newest.get(key)?.windowStartMs ?? 0) > windowStartMs) return;
    this.#newest.set(key, report);
    this.#rows.set({ model, version }, rows);
    for (const { column, kind, drifted, nullShare, outOfRangeShare, ...tests } of columns) {
      this.#detected.set({ model, version, kind, column }, drifted ? 1 : 0);
      for (const [name, test] of Object.entries(STATISTICS)) {
        const value = tests[name as keyof typeof STATISTICS];
        if (value !== undefined) this.#statistic.set({ model, version, column, test }, value);
      }
      if (kind !== 'feature') continue;
      this.#nulls.set({ model, version, column }, nullShare);
      this.#outOfRange.set({ model, version, column }, outOfRangeShare);
    }
    for (const [other, of] of this.#newest) {
      if (of.windowStartMs + 2 * windowMs < windowStartMs) this.#forget(other, of);
    }
  }

  #forget(key: string, { model, version: number, columns }: DriftReport): void {
    const version = String(number);
    this.#newest.delete(key);
    this.#rows.remove({ model, version });
    for (const { column, kind } of columns) {
      this.#detected.remove({ model, version, kind, column });
      for (const test of Object.values(STATISTICS)) this.#statistic.remove({ model, version, column, test });
      this.#nulls.remove({ model, version, column });
      this.#outOfRange.remove({ model, version, column });
    }
  }
}
