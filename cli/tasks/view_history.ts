import type { FeatureView, RowOf } from '#feature_store/definitions/feature_view';
import { idOf } from '#feature_store/definitions/values/entity_key';
import type { FeatureRow } from '#feature_store/definitions/values/feature_row';
import { type EventTime, systemClock } from '#kernel/time';
import { withHistory } from './open_history.ts';

/** A row of a view as it was stored. */
export interface HistoryRow<V extends FeatureView> {
  /** The entity's id, as people write it. */
  readonly entity: string;
  /** RFC 3339. */
  readonly at: string;
  readonly values: RowOf<V>;
}

const PAGE = 5_000;

/**
 * Calls `use` with rows of a view's history, by entity and time, a page at a time: for tasks with `{ process: true }`. Rows that were written because events left a window are among them.
 *
 * @param range - event times from `from` until before `to`, RFC 3339; default: all until now
 */
export async function readHistory<V extends FeatureView>(
  view: V,
  { from = '1970-01-01T00:00:00Z', to }: { readonly from?: string; readonly to?: string },
  use: (rows: readonly HistoryRow<V>[]) => void | Promise<void>,
): Promise<void> {
  const range = {
    from: Date.parse(from) as EventTime,
    to: (to === undefined ? systemClock.now() + 1 : Date.parse(to)) as EventTime,
  };
  await withHistory(async ({ features }) => {
    let after: FeatureRow | undefined;
    do {
      const page: readonly FeatureRow[] = await features.rowsBetween(view, range, { limit: PAGE, after });
      await use(
        page.map(({ entityKey, eventTime, values }) => ({
          ...{ entity: idOf(entityKey), at: new Date(eventTime).toISOString(), values: values as RowOf<V> },
        })),
      );
      after = page.length < PAGE ? undefined : page.at(-1);
    } while (after !== undefined);
  });
}
