import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import type { DeliveryDeps } from '#connectors/delivery';
import { type FeatureStatistics, StatisticsOf, type WindowStatistics } from '#feature_store/aggregation/statistics';
import type { FeatureView } from '#feature_store/definitions/feature_view';
import { type FeatureRow, viewId } from '#feature_store/definitions/values/feature_row';
import type { StatisticsStore } from '#feature_store/statistics/statistics_store';
import { HOUR_MS, SECOND_MS } from '#kernel/time';
import type { DoFn, ProcessContext } from '#pipelines/engine/dofn';
import { writeTo } from '#pipelines/io/sink';
import { combinePerKey } from '#pipelines/model/grouping';
import type { KV, PCollection, PTransform } from '#pipelines/model/pcollection';
import { filter, keyBy, named, parDo, windowInto } from '#pipelines/model/transforms';
import { fixedWindows, globalWindows } from '#pipelines/model/windows/windowing';
import type { ComputedRow } from './compute_features.ts';

/** How often a window that is still open is reported, ms of processing time. */
const EARLY_MS = 60 * SECOND_MS;
/** Rows later than that are not counted any more: windows that stay open take memory. */
const LATENESS_MS = HOUR_MS;

export interface StatisticsSettings {
  readonly windowMs: number;
  /** Reports windows that are still open too. */
  readonly isLive: boolean;
}

/**
 * Writes statistics of one view's rows that events made, a window at a time, into the offline store; a window that is written again replaces itself.
 * Statistics that the store refuses come out as dead letters.
 */
export const writeStatistics = (
  view: FeatureView,
  deps: DeliveryDeps & { readonly statistics: Pick<StatisticsStore, 'write'> },
  { windowMs, isLive }: StatisticsSettings,
): PTransform<PCollection<ComputedRow>, PCollection<DeadLetter>> =>
  named(`Statistics of ${viewId(view)}`, (rows) =>
    rows
      .apply(filter(({ isOfEvent }) => isOfEvent, 'OfEvents'))
      .apply(
        windowInto(
          {
            windowFn: fixedWindows(windowMs / SECOND_MS),
            allowedLatenessMs: LATENESS_MS,
            accumulation: 'accumulating',
            trigger: {
              kind: 'afterEndOfWindow',
              ...(isLive ? { early: { kind: 'afterProcessingTime', delayMs: EARLY_MS } } : {}),
              late: { kind: 'afterProcessingTime', delayMs: EARLY_MS },
            },
          },
          'Windows',
        ),
      )
      .apply(keyBy(() => viewId(view), 'Together'))
      .apply(combinePerKey(statisticsFn(view), { name: 'Combine' }))
      .apply(parDo(new StatisticsOfWindow(view, windowMs), { name: 'OfWindow' }))
      .apply(
        writeTo<WindowStatistics>(deps, {
          target: 'feature statistics',
          write: (batch) => deps.statistics.write(batch),
        }),
      )
      // With the other dead letters, which are in no other window.
      .apply(windowInto<DeadLetter>({ windowFn: globalWindows() }, 'LettersInAllOfTime')),
  );

function statisticsFn(view: FeatureView) {
  const types = Object.entries(view.features).map(([name, { type }]) => [name, type] as const);
  const of = new StatisticsOf(Object.keys(view.features), Object.fromEntries(types));
  return {
    identity: `statistics of ${Object.keys(view.features).sort().join(', ')}`,
    // A changed definition must not stop the job: the statistics of one window are of its second part.
    whenChanged: 'restart' as const,
    createAccumulator: () => of.createAccumulator(),
    addInput: (into: ReturnType<StatisticsOf['createAccumulator']>, { row }: { readonly row: FeatureRow }) =>
      of.addInput(into, row),
    mergeAccumulators: (all: Iterable<ReturnType<StatisticsOf['createAccumulator']>>) => of.mergeAccumulators(all),
    extractOutput: (all: ReturnType<StatisticsOf['createAccumulator']>) => [...of.extractOutput(all)],
  };
}

type Combined = KV<string, readonly (readonly [feature: string, statistics: FeatureStatistics])[]>;

class StatisticsOfWindow implements DoFn<Combined, WindowStatistics> {
  readonly #view: FeatureView;
  readonly #windowMs: number;

  constructor(view: FeatureView, windowMs: number) {
    this.#view = view;
    this.#windowMs = windowMs;
  }

  process({ value }: Combined, context: ProcessContext<WindowStatistics>): void {
    const { view, version } = this.#view;
    const of = { view, version, windowStartMs: context.window.start, windowMs: this.#windowMs };
    for (const [feature, statistics] of value) context.output({ ...of, feature, statistics });
  }
}
