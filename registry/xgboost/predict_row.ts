import type { Booster, BoosterTree } from './booster.ts';

/** Codes of categories begin at 0; XGBoost takes those from here on for none. */
const NO_CATEGORY = 2 ** 24;

/**
 * Returns what XGBoost's `predict` gives for a row of FP32, with NaN where a value is missing: its trees walked one by one as they were saved, so that the graph can be held against it.
 * Of `multi:softmax` it is the probabilities.
 */
export function predictRow(booster: Booster, row: Float32Array): readonly number[] {
  const sums = Float32Array.from(booster.base);
  for (const tree of booster.trees) {
    for (const { group, value } of tree.addsTo(leafOf(booster, tree, row)))
      sums[group] = (sums[group] as number) + value;
  }
  if (booster.linear !== undefined) addLinear(booster.linear, row, sums);
  return predictionOf(booster, sums);
}

function leafOf({ columns }: Booster, tree: BoosterTree, row: Float32Array): number {
  let node = 0;
  while (tree.left[node] !== -1) {
    const column = tree.columns[node] as number;
    const value = row[column] as number;
    const set = tree.categories.get(node);
    const isLeft = Number.isNaN(value)
      ? Boolean(tree.missingIsLeft[node])
      : set === undefined
        ? value < Math.fround(tree.thresholds[node] as number)
        : !set.includes(codeOf(columns[column]?.categories, value));
    node = (isLeft ? tree.left : tree.right)[node] as number;
  }
  return node;
}

/** The code of a category; of what is none, one that no set has. */
function codeOf(categories: readonly string[] | readonly number[] | undefined, value: number): number {
  if (typeof categories?.[0] === 'number') return (categories as readonly number[]).indexOf(value);
  return value < 0 || value >= NO_CATEGORY ? -1 : Math.trunc(value);
}

function addLinear(weights: ArrayLike<number>, row: Float32Array, sums: Float32Array): void {
  const groups = sums.length;
  for (let group = 0; group < groups; group += 1) {
    let sum = Math.fround((sums[group] as number) + (weights[row.length * groups + group] as number));
    for (const [column, value] of row.entries()) {
      if (!Number.isNaN(value))
        sum = Math.fround(sum + Math.fround(value * (weights[column * groups + group] as number)));
    }
    sums[group] = sum;
  }
}

function predictionOf({ objective, groups }: Booster, sums: Float32Array): readonly number[] {
  const all = Array.from(sums);
  switch (objective.output) {
    case 'identity':
      return all;
    case 'exp':
      return all.map(Math.exp);
    case 'softmax': {
      const largest = Math.max(...all);
      const powers = all.map((sum) => Math.exp(sum - largest));
      const total = powers.reduce((a, b) => a + b);
      return powers.map((power) => power / total);
    }
    case 'logistic':
    case 'step': {
      const shares = all.map((sum) => (objective.output === 'step' ? Number(sum > 0) : 1 / (1 + Math.exp(-sum))));
      return objective.isClassifier && groups === 1 ? [1 - (shares[0] as number), ...shares] : shares;
    }
  }
}
