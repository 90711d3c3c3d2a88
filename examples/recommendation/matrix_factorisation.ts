import { Random } from 'headwater/features';

/** Length of the factors. */
export const FACTORS = 16;

/** How often a user has interacted with an item, by item. */
export type Counts = ReadonlyMap<string, number>;

export interface Factors {
  readonly users: ReadonlyMap<string, Float64Array>;
  readonly items: ReadonlyMap<string, Float64Array>;
}

const ROUNDS = 12;
const REGULARISATION = 5;
/** How much more an interaction counts than none. */
const CONFIDENCE = 15;

/**
 * Factorises implicit feedback by alternating least squares: the product of a user's and an item's factors is near 1 where there were interactions, and near 0 where there were none, which counts less.
 * Source: Hu, Koren, Volinsky, Collaborative Filtering for Implicit Feedback Datasets, 2008, with confidence 1 + 15 · log(1 + interactions).
 *
 * @param interactions - by user
 */
export function factorise(interactions: ReadonlyMap<string, Counts>, seed: number): Factors {
  const random = new Random(seed);
  const byItem = new Map<string, Map<string, number>>();
  for (const [user, counts] of interactions) {
    for (const [item, count] of counts) {
      const users = byItem.get(item) ?? new Map<string, number>();
      users.set(user, count);
      byItem.set(item, users);
    }
  }
  const start = (): Float64Array => Float64Array.from({ length: FACTORS }, () => 0.1 * random.normal());
  const items = new Map([...byItem.keys()].sort().map((item) => [item, start()]));
  const users = new Map<string, Float64Array>();
  for (let round = 0; round < ROUNDS; round += 1) {
    solveAll(users, items, interactions);
    solveAll(items, users, byItem);
  }
  solveAll(users, items, interactions);
  return { users, items };
}

/** Sets the factors of one side to the least squares solution, given the other's. */
function solveAll(
  solved: Map<string, Float64Array>,
  given: ReadonlyMap<string, Float64Array>,
  interactions: ReadonlyMap<string, Counts>,
): void {
  const gram = new Float64Array(FACTORS * FACTORS);
  for (const vector of given.values()) addOuter(gram, vector, 1);
  for (let at = 0; at < FACTORS; at += 1)
    gram[at * FACTORS + at] = (gram[at * FACTORS + at] as number) + REGULARISATION;
  for (const [id, counts] of interactions) {
    const matrix = gram.slice();
    const right = new Float64Array(FACTORS);
    for (const [other, count] of counts) {
      const vector = given.get(other) as Float64Array;
      const confidence = CONFIDENCE * Math.log1p(count);
      addOuter(matrix, vector, confidence);
      for (let at = 0; at < FACTORS; at += 1) {
        right[at] = (right[at] as number) + (1 + confidence) * (vector[at] as number);
      }
    }
    solved.set(id, solve(matrix, right));
  }
}

/** Adds `weight` times the outer product of a vector with itself. */
function addOuter(matrix: Float64Array, vector: Float64Array, weight: number): void {
  for (let row = 0; row < FACTORS; row += 1) {
    const scaled = weight * (vector[row] as number);
    for (let column = 0; column < FACTORS; column += 1) {
      const at = row * FACTORS + column;
      matrix[at] = (matrix[at] as number) + scaled * (vector[column] as number);
    }
  }
}

/** Solves a symmetric, positive definite system by Cholesky's decomposition; `matrix` is overwritten. */
function solve(matrix: Float64Array, right: Float64Array): Float64Array {
  const n = FACTORS;
  const get = (row: number, column: number): number => matrix[row * n + column] as number;
  for (let column = 0; column < n; column += 1) {
    for (let row = column; row < n; row += 1) {
      let sum = get(row, column);
      for (let at = 0; at < column; at += 1) sum -= get(row, at) * get(column, at);
      matrix[row * n + column] = row === column ? Math.sqrt(sum) : sum / get(column, column);
    }
  }
  const solution = right.slice();
  for (let row = 0; row < n; row += 1) {
    let sum = solution[row] as number;
    for (let at = 0; at < row; at += 1) sum -= get(row, at) * (solution[at] as number);
    solution[row] = sum / get(row, row);
  }
  for (let row = n - 1; row >= 0; row -= 1) {
    let sum = solution[row] as number;
    for (let at = row + 1; at < n; at += 1) sum -= get(at, row) * (solution[at] as number);
    solution[row] = sum / get(row, row);
  }
  return solution;
}
