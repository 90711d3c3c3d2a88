import type { ColumnType, FeatureServiceReference, InputColumn } from './packages/model_package.ts';

/** A column of a training table. */
export interface TableColumn {
  readonly name: string;
  readonly type: ColumnType;
}

/** A cell of a training table; null is a missing value. */
export type CellValue = number | string | boolean | null;

/** A training set as a trainer takes it: one row a label, by time. Structured-cloneable. */
export interface TrainingTable {
  readonly featureService: FeatureServiceReference;
  readonly columns: readonly TableColumn[];
  /** Row by row, in the order of the columns. */
  readonly rows: readonly (readonly CellValue[])[];
  /** A row each: 0 or 1, a class's number, a value. */
  readonly labels: readonly number[];
  /** Whose row it is. */
  readonly entities?: readonly string[];
}

/** Newest share of the rows, held out: a model is judged on what came after what it saw. */
export const HELD_OUT_SHARE = 0.2;

/** Returns the row from which a table is held out of training: the newest fifth. */
export const heldOutFrom = (rows: number): number => Math.floor(rows * (1 - HELD_OUT_SHARE));

/** Pseudo-observations with the overall rate that every category starts from. */
const CATEGORY_PRIOR = 20;

/**
 * Returns input columns for a table: numbers as they are, strings as the smoothed share of positives their category had among the first
 * `trainRows` rows (target encoding; an unknown category gets the overall share).
 */
export function inputColumns(table: TrainingTable, trainRows: number): InputColumn[] {
  const overall = table.labels.slice(0, trainRows).reduce((sum, label) => sum + label, 0) / trainRows;
  return table.columns.map(({ name, type }, at) => {
    if (type !== 'string') return { name, type, required: false };
    const counts = new Map<string, { rows: number; positives: number }>();
    for (let row = 0; row < trainRows; row += 1) {
      const category = table.rows[row]?.[at];
      if (typeof category !== 'string') continue;
      const count = counts.get(category) ?? { rows: 0, positives: 0 };
      counts.set(category, { rows: count.rows + 1, positives: count.positives + (table.labels[row] as number) });
    }
    const categories = Object.fromEntries(
      [...counts]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([category, { rows, positives }]) => [
          category,
          (positives + CATEGORY_PRIOR * overall) / (rows + CATEGORY_PRIOR),
        ]),
    );
    return { name, type, required: false, categories, unknownCategory: overall };
  });
}
