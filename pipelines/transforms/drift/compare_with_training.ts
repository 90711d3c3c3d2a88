import type { DeadLetterWriter } from '#connectors/dead_letters/dead_letter_writer';
import type { Delivery, Rejected } from '#connectors/delivery';
import { isRefusal } from '#connectors/failure_class';
import { messageOf } from '#kernel/errors';
import { type ColumnReference, columnDrift } from '#monitoring/drift/column_drift';
import type { DriftedColumn, DriftReport } from '#monitoring/drift/drift_report';
import type { Logger } from '#monitoring/log';
import { type DoFn, type FinishBundleContext, type ProcessContext, valueState } from '#pipelines/engine/dofn';
import type { KV } from '#pipelines/model/pcollection';
import type { DriftMetrics } from './drift_metrics.ts';
import type { DriftStore } from './drift_store.ts';
import { type PredictionWindow, scoresOf, valuesOf } from './prediction_window.ts';
import { type WatchedModels, type WatchSettings, watchOf } from './watch_settings.ts';

/** What a version was like when it was trained. */
export interface TrainingReference {
  /** By column of the model. */
  readonly columns: Readonly<Record<string, ColumnReference>>;
  /** What it was judged by. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** @returns undefined where nothing is known of the version */
export type ReferenceOf = (model: string, version: number) => Promise<TrainingReference | undefined>;

export interface DriftSettings extends Omit<WatchSettings, 'minLabels'>, WatchedModels {
  readonly windowMs: number;
}

export interface DriftDeps {
  readonly referenceOf: ReferenceOf;
  readonly drift: Pick<DriftStore, 'write'>;
  readonly delivery: Delivery;
  readonly metrics: DriftMetrics;
  /** For reports that cannot be made or kept. */
  readonly deadLetters: Pick<DeadLetterWriter, 'write'>;
  readonly log: Logger;
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
    const { model, window, windowStartMs } = value;
    if (window.rows < watchOf(this.#settings, model).minRows) return;
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
    const { drift, delivery, metrics } = this.#deps;
    const reports: DriftReport[] = [];
    const refused: Rejected<object>[] = [];
    for (const { context: at, ...compared } of buffered) {
      const { model, version, windowStartMs } = compared;
      const of = { model, version, windowStartMs, windowMs: this.#settings.windowMs, rows: compared.window.rows };
      const training = await this.#trainingOf(model, version);
      try {
        const columns = this.#columns(compared, training?.columns ?? {});
        const report: DriftReport = { ...of, columns, reportedAtMs: context.clock.now() };
        reports.push(report);
        context.outputInWindow(report, at.timestamp, at.window);
      } catch (error) {
        // Values, or a reference, that cannot be compared: this window's alone.
        refused.push({ value: of, reason: messageOf(error) });
      }
    }
    refused.push(...(await delivery.writeAll(reports, (part) => drift.write(part))));
    if (refused.length > 0) {
      const timestamp = new Date(context.clock.now()).toISOString();
      await this.#deps.deadLetters.write(
        refused.map(({ value, reason }) => ({
          ...{ payload: JSON.stringify(value), reason, stage: 'sink.drift_reports', attempt: 1, timestamp },
        })),
      );
    }
    for (const report of reports) metrics.show(report);
  }

  /** A reference that can never be read is as good as none: the scores are compared all the same. */
  async #trainingOf(model: string, version: number): Promise<TrainingReference | undefined> {
    try {
      return await this.#deps.delivery.run(() => this.#deps.referenceOf(model, version));
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#deps.log.warn({ component: 'monitor', model, version, error }, 'drift.reference_unreadable');
      return undefined;
    }
  }

  #columns({ model, window, baseline }: Compared, columns: TrainingReference['columns']): readonly DriftedColumn[] {
    const { ignore, thresholds } = watchOf(this.#settings, model);
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

function referenceOf(scores: readonly number[]): ColumnReference {
  const sorted = [...scores].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number;
  const quantiles = sorted.length === 0 ? [] : Array.from({ length: STEPS + 1 }, (_, step) => at(step / STEPS));
  return {
    ...{ rows: sorted.length, nulls: 0, sampled: sorted.length, quantiles, top: [] },
    ...{ min: sorted[0] ?? null, max: sorted.at(-1) ?? null },
  };
}
