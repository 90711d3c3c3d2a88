/** A line of a chart. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** Plain data of a chart; report.ts draws it. */
export interface Chart {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly kind: 'line' | 'points' | 'bars';
  readonly series: readonly Series[];
  /** Draws y = x, for comparison. */
  readonly diagonal?: boolean;
  /** An area behind the series: x, and between which y. */
  readonly band?: readonly (readonly [x: number, low: number, high: number])[];
}

/** A table of a report. */
export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
}

/** How good a model is on some rows, and what shows it. */
export interface TaskEvaluation {
  readonly metrics: Readonly<Record<string, number>>;
  readonly charts: readonly Chart[];
  readonly tables: readonly Table[];
}

/** The metrics of the rows that have one value of a column. */
export interface Slice {
  readonly column: string;
  readonly value: string;
  readonly rows: number;
  readonly metrics: Readonly<Record<string, number>>;
}

const MOST_POINTS = 200;

/** Some of many points, first and last among them. */
export function thinned<T>(points: readonly T[], most = MOST_POINTS): readonly T[] {
  if (points.length <= most) return points;
  return Array.from(
    { length: most },
    (_, index) => points[Math.round((index * (points.length - 1)) / (most - 1))] as T,
  );
}

/** How many values fall between each two of `bins` + 1 equally distant bounds. */
export function histogram(values: ArrayLike<number>, low: number, high: number, bins: number): Series['points'] {
  const width = (high - low) / bins || 1;
  const counts = new Array<number>(bins).fill(0);
  for (let index = 0; index < values.length; index += 1) {
    const bin = Math.floor(((values[index] as number) - low) / width);
    const at = Math.min(bins - 1, Math.max(0, bin));
    counts[at] = (counts[at] as number) + 1;
  }
  return counts.map((count, bin) => [low + (bin + 0.5) * width, count] as const);
}
