import type { Delivery } from '#connectors/delivery';
import { isRefusal } from '#connectors/failure_class';
import type { Logger } from '#monitoring/log';
import { type Gauge, gaugeOf, type Registry } from '#monitoring/metrics';
import type { DoFn, FinishBundleContext } from '#pipelines/engine/dofn';
import type { JudgedPrediction } from '#pipelines/transforms/drift/drift_store';
import type { ReferenceOf } from './compare_with_training.ts';
import type { DriftStore } from './drift_store.ts';
import { liveMetrics } from './live_metrics.ts';
import { type WatchedModels, type WatchSettings, watchOf } from './watch_settings.ts';

export interface JudgeSettings extends Pick<WatchSettings, 'minLabels'>, WatchedModels {
  /** Outcomes that were reported so long ago still count, ms. */
  readonly performanceMs: number;
}

export interface JudgeDeps {
  readonly drift: Pick<DriftStore, 'judgedPredictions'>;
  readonly referenceOf: ReferenceOf;
  readonly delivery: Delivery;
  readonly registry: Registry;
  readonly log: Logger;
}

const MOST_ROWS = 20_000;

type Labels = 'model' | 'version' | 'metric';

/** At each tick: metrics of versions by what came true, beside those that they were judged by when they were trained. */
export class JudgePredictions implements DoFn<number, never> {
  readonly #deps: JudgeDeps;
  readonly #settings: JudgeSettings;
  readonly #live: Gauge<Labels>;
  readonly #reference: Gauge<Labels>;
  readonly #judged: Gauge<'model' | 'version'>;
  #isDue = false;

  constructor(deps: JudgeDeps, settings: JudgeSettings) {
    this.#deps = deps;
    this.#settings = settings;
    const labelNames = ['model', 'version', 'metric'] as const;
    this.#live = gaugeOf(deps.registry, {
      name: 'model_live_metric',
      help: 'How good a version is by what came true: auc, accuracy, rmse',
      labelNames,
    });
    this.#reference = gaugeOf(deps.registry, {
      name: 'model_reference_metric',
      help: 'How good it was when it was judged after its training',
      labelNames,
    });
    this.#judged = gaugeOf(deps.registry, {
      name: 'model_judged_predictions',
      help: 'Predictions whose outcome is known',
      labelNames: ['model', 'version'],
    });
  }

  process(): void {
    this.#isDue = true;
  }

  async finishBundle({ clock }: FinishBundleContext<never>): Promise<void> {
    if (!this.#isDue) return;
    this.#isDue = false;
    const { drift, referenceOf, delivery, log } = this.#deps;
    const sinceMs = clock.now() - this.#settings.performanceMs;
    const judged = await delivery.run(() => drift.judgedPredictions(sinceMs, MOST_ROWS));
    for (const gauge of [this.#live, this.#reference, this.#judged]) gauge.reset();
    for (const rows of byVersion(judged)) {
      const [{ model, version: number }] = rows as readonly [JudgedPrediction];
      const version = String(number);
      this.#judged.set({ model, version }, rows.length);
      if (rows.length < watchOf(this.#settings, model).minLabels) continue;
      const live = liveMetrics(rows);
      const reference = await delivery
        .run(() => referenceOf(model, number))
        .catch((error: unknown) => {
          if (!isRefusal(error)) throw error;
          log.warn({ component: 'monitor', model, version, error }, 'performance.reference_unreadable');
          return undefined;
        });
      for (const [metric, value] of Object.entries(live)) {
        this.#live.set({ model, version, metric }, value);
        const before = reference?.metrics[metric];
        if (before !== undefined) this.#reference.set({ model, version, metric }, before);
      }
    }
  }
}

function byVersion(judged: readonly JudgedPrediction[]): Iterable<readonly JudgedPrediction[]> {
  const versions = new Map<string, JudgedPrediction[]>();
  for (const row of judged) {
    const key = `${row.model}|${row.version}`;
    const rows = versions.get(key);
    if (rows === undefined) versions.set(key, [row]);
    else rows.push(row);
  }
  return versions.values();
}
