import { Matrix, solve } from 'ml-matrix';
import { Random } from '#kernel/random';
import type { RowValues } from '#registry/packages/model_package';

/** Runs a model: [rows, columns] to [rows, width]. */
export type RunModel = (input: RowValues, rows: number) => Promise<RowValues>;

export interface KernelShapOptions {
  /** [columns]: the row to explain. */
  readonly row: RowValues;
  /** [rows, columns]: what columns are set to that are taken as unknown. */
  readonly background: RowValues;
  /** Numbers a row has in the output. */
  readonly width: number;
  /** Rows that the model may be run on. */
  readonly evaluations: number;
}

/** Rows in one run of the model. */
const ROWS_A_RUN = 256;
const RIDGE = 1e-9;

/**
 * Shapley values of any model, by weighted regression on coalitions of columns (KernelSHAP; Lundberg and Lee, 2017), sampled in pairs (Covert and
 * Lee, 2021) when there are too many to try them all: then they are estimates. The same row gives the same estimate.
 *
 * @returns what is expected of the background, [width], and each column's part, [width, columns], row-major
 */
export async function kernelShap(
  run: RunModel,
  { row, background, width, evaluations }: KernelShapOptions,
): Promise<{ readonly base: Float64Array; readonly contributions: Float64Array }> {
  const columns = row.length;
  const known = background.length / columns;
  const expected = meanOf(await run(background, known), known, width);
  const actual = await run(row, 1);
  const whole = Float64Array.from({ length: width }, (_, at) => (actual[at] as number) - (expected[at] as number));
  if (columns === 1) return { base: expected, contributions: whole };
  const coalitions = coalitionsOf(columns, Math.max(2 * columns, Math.floor(evaluations / known)));
  const values = await valuesOf(run, coalitions, { row, background, width });

  // The parts add up to the whole: the last one is what the others leave.
  const last = columns - 1;
  const normal = Matrix.zeros(last, last);
  const right = Matrix.zeros(last, width);
  for (const [index, { members, weight }] of coalitions.entries()) {
    const hasLast = members[last] as number;
    for (let a = 0; a < last; a += 1) {
      const xa = (members[a] as number) - hasLast;
      if (xa === 0) continue;
      for (let b = 0; b < last; b += 1) {
        normal.set(a, b, normal.get(a, b) + weight * xa * ((members[b] as number) - hasLast));
      }
      for (let at = 0; at < width; at += 1) {
        const y = (values[index * width + at] as number) - (expected[at] as number) - hasLast * (whole[at] as number);
        right.set(a, at, right.get(a, at) + weight * xa * y);
      }
    }
  }
  for (let a = 0; a < last; a += 1) normal.set(a, a, normal.get(a, a) + RIDGE);
  const solved = solve(normal, right);
  const contributions = new Float64Array(width * columns);
  for (let at = 0; at < width; at += 1) {
    let rest = whole[at] as number;
    for (let column = 0; column < last; column += 1) {
      contributions[at * columns + column] = solved.get(column, at);
      rest -= solved.get(column, at);
    }
    contributions[at * columns + last] = rest;
  }
  return { base: expected, contributions };
}

interface Coalition {
  /** 1 for each column that is known, else 0. */
  readonly members: Uint8Array;
  readonly weight: number;
}

/** All but the empty and the whole one, weighted by Shapley's kernel; or so many, drawn by it. */
function coalitionsOf(columns: number, most: number): readonly Coalition[] {
  if (columns < 20 && 2 ** columns - 2 <= most) {
    return Array.from({ length: 2 ** columns - 2 }, (_, index) => {
      const members = Uint8Array.from({ length: columns }, (__, column) => ((index + 1) >> column) & 1);
      const size = members.reduce((sum, member) => sum + member, 0);
      return { members, weight: (columns - 1) / (choose(columns, size) * size * (columns - size)) };
    });
  }
  const sizes = Array.from(
    { length: columns - 1 },
    (_, index) => (columns - 1) / ((index + 1) * (columns - index - 1)),
  );
  const total = sizes.reduce((sum, weight) => sum + weight, 0);
  // The same each time.
  const random = new Random(1);
  const drawn: Coalition[] = [];
  while (drawn.length < most) {
    let left = random.next() * total;
    const size =
      1 +
      sizes.findIndex((weight) => {
        left -= weight;
        return left <= 0;
      });
    const members = new Uint8Array(columns);
    for (const column of shuffled(columns, random).slice(0, size)) members[column] = 1;
    drawn.push({ members, weight: 1 }, { members: members.map((member) => 1 - member), weight: 1 });
  }
  return drawn;
}

function choose(n: number, k: number): number {
  let ways = 1;
  for (let index = 1; index <= k; index += 1) ways = (ways * (n - k + index)) / index;
  return ways;
}

function shuffled(count: number, random: Random): number[] {
  const order = Array.from({ length: count }, (_, index) => index);
  for (let at = count - 1; at > 0; at -= 1) {
    const other = random.integer(0, at + 1);
    [order[at], order[other]] = [order[other] as number, order[at] as number];
  }
  return order;
}

/** Coalition by coalition: the mean output when only its columns are the row's. [coalitions, width] */
async function valuesOf(
  run: RunModel,
  coalitions: readonly Coalition[],
  { row, background, width }: Pick<KernelShapOptions, 'row' | 'background' | 'width'>,
): Promise<Float64Array> {
  const columns = row.length;
  const known = background.length / columns;
  const together = Math.max(1, Math.floor(ROWS_A_RUN / known));
  const values = new Float64Array(coalitions.length * width);
  for (let from = 0; from < coalitions.length; from += together) {
    const some = coalitions.slice(from, from + together);
    const input = new (row.constructor as new (size: number) => RowValues)(some.length * known * columns);
    for (const [index, { members }] of some.entries()) {
      for (let at = 0; at < known * columns; at += 1) {
        const column = at % columns;
        input[index * known * columns + at] = (members[column] === 1 ? row[column] : background[at]) as number;
      }
    }
    const outputs = await run(input, some.length * known);
    for (const index of some.keys()) {
      const own = outputs.subarray(index * known * width, (index + 1) * known * width);
      values.set(meanOf(own, known, width), (from + index) * width);
    }
  }
  return values;
}

function meanOf(outputs: RowValues, rows: number, width: number): Float64Array {
  const mean = new Float64Array(width);
  for (let row = 0; row < rows; row += 1) {
    for (let at = 0; at < width; at += 1)
      mean[at] = (mean[at] as number) + (outputs[row * width + at] as number) / rows;
  }
  return mean;
}
