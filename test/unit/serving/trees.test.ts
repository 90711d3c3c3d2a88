import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { shippedFraudDetector } from '#cli/roles/shipped_model';
import { readTreeEnsemble, type TreeEnsemble } from '#registry/onnx/tree_ensemble';
import { LoadedModel } from '#serving/runtime/loaded_model';
import { TreeInference } from '#serving/trees/tree_inference';
import { TreeShap } from '#serving/trees/tree_shap';
import {
  COLUMNS,
  coverOf,
  goesTrue,
  isLeaf,
  type RandomTree,
  rows,
  trees,
  treesToOnnx,
} from '../../support/random_trees.ts';

const read = (onnx: Uint8Array): TreeEnsemble => {
  const ensemble = readTreeEnsemble(onnx);
  if (ensemble === undefined) throw new Error('these are trees');
  return ensemble;
};

function compiledOf(ensemble: TreeEnsemble): TreeInference {
  const compiled = TreeInference.of(ensemble, COLUMNS);
  if (compiled === undefined) throw new Error('these are small');
  return compiled;
}

async function byOnnxruntime(
  onnx: Uint8Array,
  input: Float32Array,
  count: number,
  output: string,
): Promise<Float32Array> {
  const session = await InferenceSession.create(onnx, { logSeverityLevel: 3 });
  const results = await session.run({ features: new Tensor('float32', input, [count, COLUMNS]) }, [output]);
  await session.release();
  return results[output]?.data as Float32Array;
}

function expectClose(found: ArrayLike<number>, expected: ArrayLike<number>, within = 1e-5): void {
  expect(found.length).toBe(expected.length);
  for (let index = 0; index < expected.length; index += 1) {
    expect(Math.abs((found[index] as number) - (expected[index] as number))).toBeLessThan(within);
  }
}

const graphs = fc.constantFrom(
  { kind: 'classifier', classes: 2, targets: 1, transform: 'LOGISTIC', base: [0.3] } as const,
  { kind: 'classifier', classes: 3, targets: 3, transform: 'SOFTMAX', base: [0.1, -0.2, 0] } as const,
  { kind: 'regressor', targets: 1, transform: 'NONE', base: [1.5] } as const,
  { kind: 'regressor', targets: 2, transform: 'NONE', base: [1.5, -1] } as const,
);

test('trees in JavaScript give what onnxruntime gives: any splits, missing values, rows on thresholds', async () => {
  const cases = graphs.chain((graph) =>
    fc.record({ graph: fc.constant(graph), ensemble: trees(graph.targets), table: rows }),
  );
  await fc.assert(
    fc.asyncProperty(cases, async ({ graph, ensemble, table }) => {
      // Every output has a tree of its own, as trained models have: onnxruntime leaves the base out of one without.
      const own = Array.from(
        { length: graph.targets },
        (_, target): RandomTree => ({ weight: 0.25, target, cover: 9 }),
      );
      const onnx = treesToOnnx([...ensemble, ...own], graph);
      const input = Float32Array.from(table.flat());
      const parsed = read(onnx);
      const expected = await byOnnxruntime(onnx, input, table.length, parsed.output);
      expectClose(compiledOf(parsed).run(input, table.length), expected);
      // Many rows come in several chunks.
      const times = Math.ceil(100 / table.length);
      const many = Float32Array.from({ length: times * input.length }, (_, at) => input[at % input.length] as number);
      const found = compiledOf(parsed).run(many, times * table.length);
      expectClose(found.subarray(0, expected.length), expected);
      expectClose(found.subarray(-expected.length), expected);
    }),
    { numRuns: 300 },
  );
}, 60_000);

test('what is no trees is left to onnxruntime: branches that meet again, columns and outputs that there are not', () => {
  const split: RandomTree = {
    ...{ mode: 'BRANCH_LT', column: 1, value: 0, missingIsTrue: true },
    whenTrue: { weight: 1, target: 0, cover: 1 },
    whenFalse: { weight: 2, target: 0, cover: 1 },
  };
  const good = read(treesToOnnx([split], { kind: 'regressor', targets: 1, transform: 'NONE', base: [0] }));
  expect(TreeInference.of(good, COLUMNS)?.run(new Float32Array(COLUMNS), 1)).toEqual(Float32Array.of(2));
  const [root] = good.roots as unknown as [number];
  for (const change of [
    { whenLess: good.whenLess.with(root, root) },
    { features: good.features.with(root, COLUMNS) },
    { targets: good.targets.with(good.whenNot[root] as number, 1) },
  ]) {
    expect(TreeInference.of({ ...good, ...change }, COLUMNS)).toBeUndefined();
  }
});

/** What a tree gives when only some columns of a row are known: by the shares of its training rows where they are not. */
function expected(tree: RandomTree, row: readonly number[], known: number, target: number): number {
  if (isLeaf(tree)) return tree.target === target ? tree.weight : 0;
  if ((known >> tree.column) & 1) {
    return expected(goesTrue(tree, row) ? tree.whenTrue : tree.whenFalse, row, known, target);
  }
  const share = coverOf(tree.whenTrue) / coverOf(tree);
  return (
    share * expected(tree.whenTrue, row, known, target) + (1 - share) * expected(tree.whenFalse, row, known, target)
  );
}

const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));

/** Shapley values as they are defined: over all subsets of the columns. */
function shapley(ensemble: readonly RandomTree[], row: readonly number[], target: number): number[] {
  const of = (known: number): number => ensemble.reduce((sum, tree) => sum + expected(tree, row, known, target), 0);
  return Array.from({ length: COLUMNS }, (_, column) => {
    let value = 0;
    for (let known = 0; known < 2 ** COLUMNS; known += 1) {
      if ((known >> column) & 1) continue;
      const size = known.toString(2).replaceAll('0', '').length;
      const weight = (factorial(size) * factorial(COLUMNS - size - 1)) / factorial(COLUMNS);
      value += weight * (of(known | (1 << column)) - of(known));
    }
    return value;
  });
}

test('explanations are Shapley values, and sum up to the output', () => {
  fc.assert(
    fc.property(trees(2), rows, (ensemble, table) => {
      const base = [0.5, -1];
      const parsed = read(treesToOnnx(ensemble, { kind: 'regressor', targets: 2, transform: 'NONE', base }));
      const shap = new TreeShap(parsed);
      const compiled = compiledOf(parsed);
      for (const row of table) {
        const input = Float32Array.from(row);
        const { base: expectedBase, contributions } = shap.explain(input);
        const outputs = compiled.run(input, 1);
        for (const target of [0, 1]) {
          const own = contributions.subarray(target * COLUMNS, (target + 1) * COLUMNS);
          expectClose(own, shapley(ensemble, row, target), 1e-5);
          const sum = own.reduce((total, value) => total + value, expectedBase[target] as number);
          expect(Math.abs(sum - (outputs[target] as number))).toBeLessThan(1e-4);
        }
      }
    }),
    { numRuns: 150 },
  );
}, 60_000);

test('what is no sum of trees is left to onnxruntime; trees without covers are not explained', () => {
  const leaf: RandomTree = { weight: 1, target: 0, cover: 1 };
  const raw = treesToOnnx([leaf], { kind: 'classifier', classes: 2, targets: 1, transform: 'NONE', base: [0] });
  expect(readTreeEnsemble(raw)).toBeUndefined();
  const parsed = read(treesToOnnx([leaf], { kind: 'regressor', targets: 1, transform: 'NONE', base: [0] }));
  expect(() => new TreeShap({ ...parsed, covers: undefined })).toThrow('do not say how many training rows');
});

test('a model that is released while its trees are timed goes quietly', async () => {
  const { package: model } = await shippedFraudDetector();
  for (let pauseMs = 0; pauseMs < 40; pauseMs += 5) {
    const loaded = await LoadedModel.load(model);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    await loaded.release();
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
}, 30_000);
