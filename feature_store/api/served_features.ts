import type { FeatureView } from '#feature_store/definitions/feature_view';
import { type FeatureRow, viewId } from '#feature_store/definitions/values/feature_row';
import { jsonOfValue, valueText } from '#feature_store/definitions/values/value_codec';
import { arrayTextOf, cellTextsOf } from '#feature_store/online/redis/row_codec';
import { valuesAsOf } from '#feature_store/retrieval/as_of';
import { isoTime } from '#kernel/time';

/** A view's row of an entity. */
export interface Found {
  readonly view: FeatureView;
  readonly row: FeatureRow;
}

/** How answers are written. */
export interface Serving {
  /** Only these; undefined: all. */
  readonly wanted?: ReadonlySet<string> | undefined;
  /** Adds now minus the event time, ms. */
  readonly freshness: boolean;
  readonly nowMs: number;
}

interface Cell {
  readonly name: string;
  /** `"count_1h":{"value":` */
  readonly opening: string;
}

const cellsByView = new WeakMap<FeatureView, readonly Cell[]>();

function cellsOf(view: FeatureView): readonly Cell[] {
  let cells = cellsByView.get(view);
  if (cells === undefined) {
    cells = Object.keys(view.features).map((name) => ({ name, opening: `${JSON.stringify(name)}:{"value":` }));
    cellsByView.set(view, cells);
  }
  return cells;
}

/**
 * `{"count_1h":{"value":3,"computed_at":"2026-…"},…}`: what `JSON.stringify` would write of it, without making the objects: half of the time of a
 * request for many entities went there.
 */
export function featuresJson(found: readonly Found[], { wanted, freshness, nowMs }: Serving): string {
  let text = '{';
  for (const { view, row } of found) {
    const values = valuesAsOf(view, row.values, nowMs);
    const age = freshness ? `,"age_ms":${nowMs - row.eventTime}` : '';
    const closing = `,"computed_at":"${isoTime(row.computedAt)}"${age}}`;
    const cells = cellsOf(view);
    const encoded = cellTextsOf(values, cells.length);
    for (let index = 0; index < cells.length; index += 1) {
      const { name, opening } = cells[index] as Cell;
      if (wanted !== undefined && !wanted.has(name)) continue;
      text += (text.length === 1 ? '' : ',') + opening + (encoded?.[index] ?? valueText(values[name])) + closing;
    }
  }
  return `${text}}`;
}

/** `[3,null,"DE"]`, in the order of the view's features: of all, or of those that the request names. */
function arrayJson({ view, row }: Found, { wanted, nowMs }: Serving): string {
  const values = valuesAsOf(view, row.values, nowMs);
  // As it lies in the store.
  const whole = wanted === undefined ? arrayTextOf(values) : undefined;
  if (whole !== undefined) return whole;
  const cells = cellsOf(view);
  const encoded = cellTextsOf(values, cells.length);
  let text = '';
  for (let index = 0; index < cells.length; index += 1) {
    const { name } = cells[index] as Cell;
    if (wanted === undefined || wanted.has(name)) text += `,${encoded?.[index] ?? valueText(values[name])}`;
  }
  return `[${text.slice(1)}]`;
}

/**
 * Rows of some views as columns: names once, then for each of `ids` when its row was computed, and its values. An eighth of the size of {@link featuresJson}.
 *
 * @param rows - of each id
 */
export function columnsJson(
  ids: readonly string[],
  rows: readonly (readonly Found[])[],
  views: readonly FeatureView[],
  serving: Serving,
): string {
  const { wanted, freshness, nowMs } = serving;
  const blocks = views.map((view) => {
    const names = Object.keys(view.features).filter((name) => wanted === undefined || wanted.has(name));
    const found = rows.map((each) => each.find((candidate) => candidate.view === view));
    const of = `"view":"${viewId(view)}","entity":${JSON.stringify(view.entity.name)},"features":${JSON.stringify(names)}`;
    const times = found.map((each) => (each === undefined ? 'null' : `"${isoTime(each.row.computedAt)}"`));
    const ages = freshness
      ? `,"age_ms":[${found.map((each) => (each === undefined ? 'null' : nowMs - each.row.eventTime))}]`
      : '';
    const values = found.map((each) => (each === undefined ? 'null' : arrayJson(each, serving)));
    return `{${of},"computed_at":[${times}]${ages},"values":[${values}]}`;
  });
  return `{"entities":${JSON.stringify(ids)},"views":[${blocks}]}`;
}

/** @returns the feature as the first row that has it says it, with that row's view; undefined when none has */
export function oneFeature(
  found: readonly Found[],
  feature: string,
  { freshness, nowMs }: Omit<Serving, 'wanted'>,
): object | undefined {
  const holder = found.find(({ view }) => view.features[feature] !== undefined);
  if (holder === undefined) return undefined;
  const { view, row } = holder;
  return {
    value: jsonOfValue(valuesAsOf(view, row.values, nowMs)[feature] ?? null),
    computed_at: isoTime(row.computedAt),
    ...(freshness ? { age_ms: nowMs - row.eventTime } : {}),
    view: viewId(view),
  };
}
