import type { Delivery } from '#connectors/delivery';
import type { DriftedColumn, DriftReport, OfflineStore } from '#feature_store/offline/offline_store';
import { type ColumnReference, columnDrift, type DriftThresholds } from '#monitoring/drift/column_drift';
import { type DoFn, type FinishBundleContext, type ProcessContext, valueState } from '#pipelines/engine/dofn';
import type { KV } from '#pipelines/model/pcollection';
import type { DriftMetrics } from './drift_metrics.ts';
import { type PredictionWindow, scoresOf, valuesOf } from './prediction_window.ts';

/** What a version was like when it was trained. */
export interface TrainingReference {
  /** By column of the model. */
  readonly columns: Readonly<Record<string, ColumnReference>>;
  /** What it was judged by. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** @returns undefined where nothing is known of the version */
export type ReferenceOf = (model: string, version: number) => Promise<TrainingReference | undefined>;

export interface DriftSettings {
  readonly windowMs: number;
  /** A window with fewer predictions says nothing. */
  readonly minRows: number;
  /** Columns that differ by what they are, such as the hour of the day in a window of an hour. */
  readonly ignore: readonly string[];
  readonly thresholds: DriftThresholds;
}

export interface DriftDeps {
  readonly referenceOf: ReferenceOf;
  readonly offline: Pick<OfflineStore, 'writeDriftReports'>;
  readonly delivery: Delivery;
  readonly metrics: DriftMetrics;
}

/** A window of a version's predictions. */
export interface WindowOfVersion {
  readonly model: string;
  readonly version: number;
  readonly windowStartMs: number;
  readonly window: PredictionWindow;
}

/** Scores of a version's first window that had enough of them: what later ones are compared with. */
interface Baseline {
  readonly windowStartMs: number;
  readonly reference: ColumnReference;
}

interface Compared extends WindowOfVersion {
  readonly baseline: ColumnReference | undefined;
}

const PREDICTION = 'prediction';
const STEPS = 20;

/**
 * Compares windows of predictions with what the version was trained on, and its scores with those of its first window: into metrics and the offline
 * store. By version, in the global window, since it remembers that first one.
 */
export class CompareWithTraining implements DoFn<KV<string, WindowOfVersion>, DriftReport> {
  readonly baseline = valueState<Baseline>('baseline');
  readonly #deps: DriftDeps;
  readonly #settings: DriftSettings;
  #buffer: (Compared & { readonly context: Pick<ProcessContext<DriftReport>, 'timestamp' | 'window'> })[] = [];

  constructor(deps: DriftDeps, settings: DriftSettings) {
    this.#deps = deps;
    this.#settings = settings;
  }

  startBundle(): void {
    this.#buffer = [];
  }

  process({ value }: KV<string, WindowOfVersion>, context: ProcessContext<DriftReport>): void {
    const { window, windowStartMs } = value;
    if (window.rows < this.#settings.minRows) return;
    const cell = context.state(this.baseline);
    const known = cell.read();
    const isFirst = known === undefined || windowStartMs <= known.windowStartMs;
    if (isFirst) cell.write({ windowStartMs, reference: referenceOf(scoresOf(window)) });
    const { timestamp, window: at } = context;
    const baseline = isFirst ? undefined : known.reference;
    this.#buffer.push({ ...value, baseline, context: { timestamp, window: at } });
  }

  async finishBundle(context: FinishBundleContext<DriftReport>): Promise<void> {
    const buffered = this.#buffer;
    this.#buffer = [];
    const { referenceOf: trainingOf, offline, delivery, metrics } = this.#deps;
    const reports: DriftReport[] = [];
    for (const { context: at, ...compared } of buffered) {
      const training = await delivery.run(() => trainingOf(compared.model, compared.version));
      const report: DriftReport = {
        ...{ model: compared.model, version: compared.version, windowStartMs: compared.windowStartMs },
        ...{ windowMs: this.#settings.windowMs, rows: compared.window.rows },
        columns: this.#columns(compared, training?.columns ?? {}),
        reportedAtMs: context.clock.now(),
      };
      reports.push(report);
      context.outputInWindow(report, at.timestamp, at.window);
    }
    if (reports.length === 0) return;
    await delivery.run(() => offline.writeDriftReports(newestOf(reports)));
    for (const report of reports) metrics.show(report);
  }

  #columns({ window, baseline }: Compared, columns: TrainingReference['columns']): readonly DriftedColumn[] {
    const { ignore, thresholds } = this.#settings;
    const names = Object.keys(columns).filter((name) => !ignore.includes(name));
    // So many columns are looked at that one of them would differ by chance.
    const strict = { ...thresholds, significance: thresholds.significance / (names.length + 1) };
    const found = names.map((column): DriftedColumn => {
      const reference = columns[column] as ColumnReference;
      const all = valuesOf(window, column);
      const values = all.filter((value) => value !== undefined);
      const outOfRange = values.filter((value) => isOutOfRange(value, reference)).length;
      const sample = { values, rows: all.length, nulls: all.length - values.length, outOfRange };
      return { column, kind: 'feature', ...columnDrift(reference, sample, strict) };
    });
    if (baseline === undefined || baseline.quantiles.length === 0) return found;
    const values = scoresOf(window);
    const sample = { values, rows: values.length, nulls: 0, outOfRange: 0 };
    return [...found, { column: PREDICTION, kind: PREDICTION, ...columnDrift(baseline, sample, strict) }];
  }
}

const isOutOfRange = (value: unknown, { min, max }: ColumnReference): boolean =>
  typeof value === 'number' && min !== null && max !== null && (value < min || value > max);

/** A statement may not touch one row twice: of a window that was told twice, the newer word. */
const newestOf = (reports: readonly DriftReport[]): readonly DriftReport[] => [
  ...new Map(reports.map((report) => [`${report.model}|${report.version}|${report.windowStartMs}`, report])).values(),
];

function referenceOf(scores: readonly number[]): ColumnReference {
  const sorted = [...scores].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number;
  const quantiles = sorted.length === 0 ? [] : Array.from({ length: STEPS + 1 }, (_, step) => at(step / STEPS));
  return {
    ...{ rows: sorted.length, nulls: 0, sampled: sorted.length, quantiles, top: [] },
    ...{ min: sorted[0] ?? null, max: sorted.at(-1) ?? null },
  };
}
