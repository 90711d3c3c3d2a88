import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { readTreeEnsemble, type TreeEnsemble } from '#registry/onnx/tree_ensemble';
import { LoadedModel } from '#serving/models/loaded_model';
import { TreeInference } from '#serving/models/trees/tree_inference';
import { TreeShap } from '#serving/models/trees/tree_shap';
import { fraudDetectorVersion } from '../../../support/platforms/test_project.ts';
import {
  addedTo,
  COLUMNS,
  coverOf,
  goesTrue,
  isLeaf,
  type RandomTree,
  rows,
  trees,
  treesToOnnx,
} from '../../../support/random_trees.ts';
import { turns } from '../../../support/turns.ts';

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
  // As skl2onnx writes forests of two classes.
  { kind: 'classifier', classes: 2, targets: 1, transform: 'NONE', base: [], isPositive: true } as const,
  { kind: 'classifier', classes: 3, targets: 3, transform: 'SOFTMAX', base: [0.1, -0.2, 0] } as const,
  { kind: 'regressor', targets: 1, transform: 'NONE', base: [1.5] } as const,
  { kind: 'regressor', targets: 2, transform: 'NONE', base: [1.5, -1] } as const,
);

test('trees in JavaScript give what onnxruntime gives: any splits, missing values, rows on thresholds', async () => {
  const cases = graphs.chain((graph) =>
    fc.record({ graph: fc.constant(graph), ensemble: trees(graph.targets, graph), table: rows }),
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

const A_SPLIT: RandomTree = {
  ...{ mode: 'BRANCH_LT', column: 1, value: 0, missingIsTrue: true },
  whenTrue: { weight: 1, target: 0, cover: 1 },
  whenFalse: { weight: 2, target: 0, cover: 1 },
};

test('what is no trees is left to onnxruntime: branches that meet again, columns and outputs that there are not', () => {
  const good = read(treesToOnnx([A_SPLIT], { kind: 'regressor', targets: 1, transform: 'NONE', base: [0] }));
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
function byCovers(tree: RandomTree, row: readonly number[], known: number, target: number): number {
  if (isLeaf(tree)) return addedTo(tree, target, 2);
  if ((known >> tree.column) & 1) {
    return byCovers(goesTrue(tree, row) ? tree.whenTrue : tree.whenFalse, row, known, target);
  }
  const share = coverOf(tree.whenTrue) / coverOf(tree);
  const [whenTrue, whenFalse] = [tree.whenTrue, tree.whenFalse].map((each) => byCovers(each, row, known, target));
  return share * (whenTrue as number) + (1 - share) * (whenFalse as number);
}

function walked(tree: RandomTree, row: readonly number[], target: number): number {
  if (isLeaf(tree)) return addedTo(tree, target, 2);
  return walked(goesTrue(tree, row) ? tree.whenTrue : tree.whenFalse, row, target);
}

/** The same, where unknown columns are those of rows of a background. */
const byBackground =
  (background: readonly (readonly number[])[]) =>
  (tree: RandomTree, row: readonly number[], known: number, target: number): number => {
    const mixed = (other: readonly number[]) =>
      row.map((value, at) => ((known >> at) & 1 ? value : (other[at] as number)));
    return background.reduce((sum, other) => sum + walked(tree, mixed(other), target), 0) / background.length;
  };

const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));

/** Shapley values as they are defined: over all subsets of the columns. */
function shapley(
  ensemble: readonly RandomTree[],
  row: readonly number[],
  target: number,
  expected: typeof byCovers,
): number[] {
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

const BASE = [0.5, -1];
const GRAPH = { kind: 'regressor', targets: 2, transform: 'NONE', base: BASE } as const;

async function shapOf(ensemble: TreeEnsemble, background: readonly (readonly number[])[] = []): Promise<TreeShap> {
  const shap = await TreeShap.of(ensemble, Float32Array.from(background.flat()), COLUMNS);
  if (shap === undefined) throw new Error('there is something to compare with');
  return shap;
}

test.each([
  ['by covers', 'tree_path_dependent', true],
  ['against a background', 'interventional', false],
] as const)(
  'explanations %s are Shapley values, and sum up to what onnxruntime gives',
  async (_, perturbation, hasCovers) => {
    await fc.assert(
      fc.asyncProperty(trees(2, { isAny: true }), rows, rows, async (ensemble, table, background) => {
        // Every output has a tree of its own, as trained models have.
        const own = [0, 1].map((target): RandomTree => ({ weight: 0.25, target, cover: 9 }));
        // A file without a split has nothing that could add up.
        const all = hasCovers ? [...ensemble, ...own] : [...ensemble, ...own, A_SPLIT];
        const onnx = treesToOnnx(all, { ...GRAPH, hasCovers });
        const shap = await shapOf(read(onnx), background);
        expect(shap.perturbation).toBe(perturbation);
        const expected = hasCovers ? byCovers : byBackground(background);
        const outputs = await byOnnxruntime(onnx, Float32Array.from(table.flat()), table.length, 'values');
        for (const [index, row] of table.entries()) {
          const { base, contributions } = shap.explain(Float32Array.from(row));
          for (const target of [0, 1]) {
            const found = contributions.subarray(target * COLUMNS, (target + 1) * COLUMNS);
            expectClose(found, shapley(all, row, target, expected), 1e-5);
            const sum = found.reduce((total, value) => total + value, base[target] as number);
            expect(Math.abs(sum - (outputs[index * 2 + target] as number))).toBeLessThan(1e-4);
          }
        }
      }),
      { numRuns: 100 },
    );
  },
  60_000,
);

test('trees too large for tables are explained alike', async () => {
  const random = fc.sample(trees(2, { isAny: true }), { seed: 7, numRuns: 40 }).flat();
  const table = fc.sample(rows, { seed: 8, numRuns: 4 }).flat();
  const onnx = treesToOnnx([...random, A_SPLIT], { ...GRAPH, hasCovers: false });
  const small = await shapOf(read(onnx), table);
  const large = await TreeShap.of(read(onnx), Float32Array.from(table.flat()), COLUMNS, { mostNumbers: 0 });
  for (const row of table) {
    const input = Float32Array.from(row);
    expectClose(large?.explain(input).contributions ?? [], small.explain(input).contributions, 1e-5);
  }
});

test('what is no sum of trees is left to onnxruntime; covers are used only where they add up', async () => {
  const leaf: RandomTree = { weight: -1, target: 0, cover: 1 };
  const raw = treesToOnnx([leaf], { kind: 'classifier', classes: 2, targets: 1, transform: 'NONE', base: [0] });
  expect(readTreeEnsemble(raw)).toBeUndefined();
  expect(read(treesToOnnx([A_SPLIT], GRAPH)).covers).toBeDefined();
  const parsed = read(treesToOnnx([A_SPLIT], { ...GRAPH, hasCovers: false }));
  expect(parsed.covers).toBeUndefined();
  expect(await TreeShap.of(parsed, new Float32Array(0), COLUMNS)).toBeUndefined();
});

test('tensors of many rows are computed by the trees, and other outputs and shapes by the graph', async () => {
  const { package: model } = await fraudDetectorVersion();
  const loaded = await LoadedModel.load(model, { isRepeatable: true });
  const { input, output } = model.signature.onnx;
  const values = Float32Array.from({ length: 100 * loaded.encoder.width }, (_, at) => ((at * 37) % 101) / 7 - 5);
  const feeds = { [input]: { type: 'float32', dims: [100, loaded.encoder.width], data: values } } as const;
  const names = loaded.spec.outputs.map(({ name }) => name);
  const [{ [output]: scores }, all] = [await loaded.runTensors(feeds, [output]), await loaded.runTensors(feeds, names)];
  expect(scores?.dims).toEqual([100, loaded.scoreWidth]);
  expect(scores?.data).toEqual(await loaded.scores(values, 100));
  expectClose(scores?.data as Float32Array, all[output]?.data as Float32Array);
  expect(Object.keys(all).sort()).toEqual([...names].sort());
  const odd = { [input]: { type: 'float32', dims: [1, 1], data: values } } as const;
  await expect(loaded.runTensors(odd, [output])).rejects.toThrow();
  await loaded.release();
});

test('a model that is released while its trees are timed goes quietly', async () => {
  const { package: model } = await fraudDetectorVersion();
  for (let pause = 0; pause < 40; pause += 5) {
    const loaded = await LoadedModel.load(model);
    await turns(pause);
    await loaded.release();
  }
  await turns(100);
}, 30_000);
