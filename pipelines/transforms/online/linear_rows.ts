import { type Coordinates, type FtrlSettings, type SparseRow, weightOf } from './ftrl_proximal.ts';

/** A column that is learned from, as models take it. */
export interface LearnedColumn {
  readonly name: string;
  readonly type: 'double' | 'long' | 'boolean' | 'string';
}

/** What a column adds to the sum. */
export interface ColumnWeights extends LearnedColumn {
  /** Times sign(x)·log(1 + |x|); 0 for strings. */
  readonly weight: number;
  /** Of a missing value. */
  readonly missing: number;
  /** Of strings, by category. */
  readonly categories: Readonly<Record<string, number>>;
  /** Of any other category. */
  readonly other: number;
}

/** A logistic regression: the probability of the second class is the logistic function of `bias` and what each column adds. */
export interface LinearWeights {
  readonly bias: number;
  readonly columns: readonly ColumnWeights[];
}

/** A value that no column of its type has. */
export interface ColumnProblem {
  readonly field: string;
  readonly problem: string;
}

const BIAS = '';
const missingOf = (column: string): string => `missing ${column}`;
const numberOf = (column: string): string => `number ${column}`;
const otherOf = (column: string): string => `other ${column}`;
/** The column's length keeps "a b" of c apart from "b" of "c a". */
const categoryPrefix = (column: string): string => `category ${column.length} ${column} `;

/** Returns sign(x)·log(1 + |x|): amounts of any size become numbers that one learning rate suits. */
export const squashed = (value: number): number => Math.sign(value) * Math.log(1 + Math.abs(value));

/** How many categories of each column have a coordinate of their own. */
export type CategoryCounts = Map<string, number>;

/**
 * Returns features as the learner takes them: 1 for the bias; then for each column, in order, its squashed number, or 1 for its category or for a missing
 * value. A category beyond the first `mostCategories` of its column counts as any other.
 */
export function sparseRow(
  columns: readonly LearnedColumn[],
  features: Readonly<Record<string, unknown>>,
  known: { readonly coordinates: Coordinates; readonly categories: CategoryCounts },
  mostCategories: number,
): SparseRow | ColumnProblem {
  const row: [string, number][] = [[BIAS, 1]];
  for (const { name, type } of columns) {
    const value = Object.hasOwn(features, name) ? features[name] : undefined;
    if (value === undefined || value === null) {
      row.push([missingOf(name), 1]);
    } else if (type === 'string') {
      if (typeof value !== 'string') return { field: name, problem: `is a ${typeof value}, and the column a string` };
      const category = categoryPrefix(name) + value;
      const isOwn = known.coordinates.has(category) || (known.categories.get(name) ?? 0) < mostCategories;
      row.push([isOwn ? category : otherOf(name), 1]);
    } else {
      const number = typeof value === 'boolean' ? Number(value) : value;
      if (typeof number !== 'number' || !Number.isFinite(number)) {
        return { field: name, problem: `is ${JSON.stringify(value)}, and the column a ${type}: send a finite number` };
      }
      row.push([numberOf(name), squashed(number)]);
    }
  }
  return row;
}

/** Counts the categories that a row of {@link sparseRow} adds, before it is learned. */
export function countCategories(
  columns: readonly LearnedColumn[],
  row: SparseRow,
  { coordinates, categories }: { readonly coordinates: Coordinates; readonly categories: CategoryCounts },
): void {
  for (const [at, { name, type }] of columns.entries()) {
    const [coordinate] = row[at + 1] as SparseRow[number];
    if (type !== 'string' || coordinates.has(coordinate) || !coordinate.startsWith(categoryPrefix(name))) continue;
    categories.set(name, (categories.get(name) ?? 0) + 1);
  }
}

/** Returns the weights that coordinates stand for. */
export function linearWeights(
  coordinates: Coordinates,
  columns: readonly LearnedColumn[],
  settings: FtrlSettings,
): LinearWeights {
  const weight = (name: string): number => weightOf(coordinates.get(name), settings);
  const categoriesOf = (column: string): ColumnWeights['categories'] => {
    const prefix = categoryPrefix(column);
    const own = [...coordinates.keys()].filter((name) => name.startsWith(prefix));
    return Object.fromEntries(own.map((name) => [name.slice(prefix.length), weight(name)]));
  };
  return {
    bias: weight(BIAS),
    columns: columns.map(({ name, type }) => ({
      ...{ name, type, weight: weight(numberOf(name)), missing: weight(missingOf(name)), other: weight(otherOf(name)) },
      categories: type === 'string' ? categoriesOf(name) : {},
    })),
  };
}
