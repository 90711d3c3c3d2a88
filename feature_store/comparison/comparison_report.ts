import type { JsonObject } from '#kernel/json';
import { isoTime } from '#kernel/time';
import { populationStability } from '#monitoring/drift/population_stability';
import { idOf } from '../definitions/values/entity_key.ts';
import { jsonOfValue, valueText } from '../definitions/values/value_codec.ts';
import type { LabelComparison, LabelledSide } from './label_comparison.ts';
import type { FeatureComparison, SideStatistics, ViewComparison } from './view_comparison.ts';

/** The largest differences that Markdown lists. */
const LISTED = 10;

/** Returns a comparison as JSON. Times are RFC 3339. */
export function comparisonJson(comparison: ViewComparison): JsonObject {
  const [before, after] = comparison.costs;
  return {
    ...{ entities: comparison.entities, entities_changed: comparison.entitiesChanged, moments: comparison.moments },
    rows: { before: before.rows, after: after.rows },
    compute_ms: { before: Math.round(before.computeMs), after: Math.round(after.computeMs) },
    features: comparison.results().map((result) => ({
      ...{ feature: result.feature, moments: result.moments, changed: result.changed },
      ...{ entities_changed: result.entitiesChanged, mean_distance: numberOrNull(result.meanDistance) },
      ...{ drift: driftOf(result), before: sideJson(result, result.before), after: sideJson(result, result.after) },
      largest: result.largest.map(({ entityKey, timeMs, before: was, after: is }) => ({
        ...{ entity: entityKey, id: idOf(entityKey), time: isoTime(timeMs) },
        ...{ before: jsonOfValue(was), after: jsonOfValue(is) },
      })),
    })),
  };
}

const numberOrNull = (value: number): number | null => (Number.isFinite(value) ? value : null);

const sideJson = ({ moments }: FeatureComparison, { nulls, mean }: SideStatistics): JsonObject => ({
  null_share: moments === 0 ? 0 : nulls / moments,
  mean: numberOrNull(mean),
});

/** The population stability index of the numbers of both sides; null where one has none. */
const driftOf = ({ before, after }: FeatureComparison): number | null =>
  before.numbers === 0 || after.numbers === 0 ? null : populationStability(before.sample, after.sample);

/** Returns a number with four digits for a report; nothing where there is none. */
export const figure = (value: number | null): string =>
  value === null || !Number.isFinite(value) ? '' : String(Number(value.toPrecision(4)));
const percent = (part: number, all: number): string => `${figure(all === 0 ? 0 : (100 * part) / all)} %`;
const row = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
/** Returns the lines of a table in Markdown. */
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] => [
  row(head),
  row(head.map(() => '---')),
  ...rows.map(row),
];

/** Returns a comparison as Markdown, for a terminal and for a pull request. */
export function comparisonMarkdown(comparison: ViewComparison): string {
  const { moments } = comparison;
  const [before, after] = comparison.costs;
  const results = comparison.results();
  const largest = results
    .flatMap((result) => result.largest.map((difference) => ({ feature: result.feature, ...difference })))
    .sort((a, b) => (a.distance === b.distance ? 0 : b.distance - a.distance));
  return [
    `${comparison.entities} entities, ${comparison.entitiesChanged} with a change; ${moments} moments`,
    `rows ${before.rows} → ${after.rows}; computed in ${figure(before.computeMs / 1_000)} s → ${figure(after.computeMs / 1_000)} s`,
    '',
    ...table(
      ['feature', 'changed', 'entities', 'mean', 'mean distance', 'missing', 'drift (PSI)'],
      results.map((result) => [
        ...[result.feature, percent(result.changed, moments), String(result.entitiesChanged)],
        `${figure(result.before.mean)} → ${figure(result.after.mean)}`,
        figure(result.meanDistance),
        `${percent(result.before.nulls, moments)} → ${percent(result.after.nulls, moments)}`,
        figure(driftOf(result)),
      ]),
    ),
    ...(largest.length === 0
      ? []
      : [
          ...['', 'Largest changes:', ''],
          ...table(
            ['entity', 'time', 'feature', 'before', 'after'],
            largest
              .slice(0, LISTED)
              .map(({ entityKey, timeMs, feature, before: was, after: is }) => [
                ...[entityKey, isoTime(timeMs), feature, valueText(was), valueText(is)],
              ]),
          ),
        ]),
  ].join('\n');
}

/** Returns what labels say of both definitions as JSON. */
export const labelsJson = (comparison: LabelComparison): JsonObject => ({
  labels: comparison.labels,
  features: comparison.results().map(({ feature, before, after }) => {
    const side = ({ missing, correlation }: LabelledSide): JsonObject => ({
      ...{ missing, correlation: numberOrNull(correlation) },
    });
    return { feature, before: side(before), after: side(after) };
  }),
});

/** Returns what labels say of both definitions as Markdown. */
export const labelsMarkdown = (comparison: LabelComparison): string =>
  [
    `${comparison.labels} labels`,
    '',
    ...table(
      ['feature', 'correlation with the label', 'missing at the label'],
      comparison
        .results()
        .map(({ feature, before, after }) => [
          feature,
          `${figure(before.correlation)} → ${figure(after.correlation)}`,
          `${percent(before.missing, comparison.labels)} → ${percent(after.missing, comparison.labels)}`,
        ]),
    ),
  ].join('\n');
