import type { WindowStatistics } from '#feature_store/aggregation/statistics';
import type { ViewReference } from '#feature_store/definitions/values/feature_row';

export interface StatisticsFilter {
  readonly view?: ViewReference | undefined;
  readonly feature?: string | undefined;
  /** Windows that begin in [fromMs, toMs). */
  readonly fromMs?: number | undefined;
  readonly toMs?: number | undefined;
  readonly limit: number;
}

/** Statistics of features, by window. */
export interface StatisticsStore {
  /** Keeps statistics; a window that is written again replaces itself. */
  write(rows: readonly WindowStatistics[]): Promise<void>;
  /** Returns the newest windows first. */
  list(filter: StatisticsFilter): Promise<readonly WindowStatistics[]>;
}
