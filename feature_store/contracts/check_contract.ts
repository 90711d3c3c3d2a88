import type { FeatureView } from '#feature_store/definitions/feature_view';
import { violationsOf } from '#feature_store/definitions/rules/quality_rule';
import { contractOverMs } from '#feature_store/definitions/rules/view_contract';
import { type FeatureRow, viewId } from '#feature_store/definitions/values/feature_row';
import type { OfflineStore } from '#feature_store/offline/offline_store';
import type { StatisticsStore } from '#feature_store/statistics/statistics_store';
import type { EventTime } from '#kernel/time';
import { durationMs } from '#kernel/times/duration';

/** One term of a view's contract, compared with its rows. */
export interface ContractTerm {
  /** `spending@1` */
  readonly view: string;
  /** `freshness` in ms; `missing` and `violations` as shares, 0 to 1. */
  readonly term: 'freshness' | 'missing' | 'violations';
  /** Whose values are missing; absent for terms of whole rows. */
  readonly feature?: string;
  readonly limit: number;
  /** null: there is no row to look at. */
  readonly found: number | null;
  readonly holds: boolean;
}

/** Rows that are looked at, the first by entity: a share of them is as exact as a contract needs. */
const MOST_ROWS = 10_000;

/** Where rows and what is known of them are. */
export interface ContractSources {
  readonly features: Pick<OfflineStore, 'timesOf' | 'rowsBetween'>;
  readonly statistics: Pick<StatisticsStore, 'list'>;
}

/**
 * Compares a view's history with its contract. Without rows, freshness is broken and the shares hold.
 *
 * @returns a term for each limit; none for a view without a contract
 */
export async function checkContract(
  sources: ContractSources,
  view: FeatureView,
  nowMs: number,
): Promise<readonly ContractTerm[]> {
  const { contract } = view;
  if (contract === undefined) return [];
  const { freshWithin, mostMissing = {}, mostViolations } = contract;
  const terms: ContractTerm[] = [];
  const compare = (term: Pick<ContractTerm, 'term' | 'feature' | 'limit'>, found: number | null): void => {
    const holds = found === null ? term.term !== 'freshness' : found <= term.limit;
    terms.push({ view: viewId(view), ...term, found, holds });
  };
  if (freshWithin !== undefined) {
    const ageMs = await ageOf(sources, view, nowMs);
    compare({ term: 'freshness', limit: durationMs(freshWithin) }, ageMs);
  }
  const names = Object.keys(view.features);
  const limits =
    typeof mostMissing === 'number' ? names.map((name) => [name, mostMissing] as const) : Object.entries(mostMissing);
  if (limits.length === 0 && mostViolations === undefined) return terms;
  const range = { from: (nowMs - contractOverMs(contract)) as EventTime, to: (nowMs + 1) as EventTime };
  const rows = await sources.features.rowsBetween(view, range, { limit: MOST_ROWS, after: undefined });
  const shareOf = (is: (row: FeatureRow) => boolean): number | null =>
    rows.length === 0 ? null : rows.filter(is).length / rows.length;
  for (const [feature, limit = 0] of limits) {
    compare(
      { term: 'missing', feature, limit },
      shareOf(({ values }) => (values[feature] ?? null) === null),
    );
  }
  if (mostViolations !== undefined) {
    const breaks = ({ values }: FeatureRow): boolean => violationsOf(view.rules, values).length > 0;
    compare({ term: 'violations', limit: mostViolations }, shareOf(breaks));
  }
  return terms;
}

/**
 * Returns how long ago a view had its newest event. Rows are also written when events leave a window: statistics, which are of rows of events alone, say when the newest came, to the
 * length of their window; where there are none, the newest row does.
 */
async function ageOf(
  { features, statistics }: ContractSources,
  view: FeatureView,
  nowMs: number,
): Promise<number | null> {
  const [newest] = await statistics.list({ view, limit: 1 });
  if (newest !== undefined) return Math.max(0, nowMs - newest.windowStartMs - newest.windowMs);
  const times = await features.timesOf(view);
  return times === undefined ? null : Math.max(0, nowMs - times.newest);
}
