import type { TreeEnsemble } from '#registry/onnx/tree_ensemble';
import type { AddTrees } from './tree_table.ts';

/** Trees of about so many nodes share a function: V8 optimises it whole. */
const NODES_A_FUNCTION = 500;
/** Larger ensembles would take seconds to be optimised. */
const MOST_NODES = 60_000;

/**
 * The trees as nested ifs of JavaScript, which V8 turns into comparisons with constants: for many rows the fastest way. The code is made of numbers of
 * the file and nothing else of it.
 *
 * @returns undefined for what is too large, or where code must not be made at run time (--disallow-code-generation-from-strings)
 */
export function generateCode(ensemble: TreeEnsemble, width: number): AddTrees | undefined {
  if (ensemble.features.length > MOST_NODES) return undefined;
  const groups: string[] = [];
  let [code, nodes] = ['', 0];
  for (const root of ensemble.roots) {
    const tree = treeCode(ensemble, root);
    code += tree.code;
    nodes += tree.nodes;
    if (nodes < NODES_A_FUNCTION) continue;
    groups.push(code);
    [code, nodes] = ['', 0];
  }
  if (code !== '') groups.push(code);
  const loop = `for(let r=0,o=0,t=0;r<n;r++,o+=${numeral(width)},t+=${numeral(ensemble.outputs)})`;
  try {
    const functions = groups.map((body) => new Function('x', 'n', 's', `${loop}{${body}}`) as AddTrees);
    return (input, rows, sums) => {
      for (let index = 0; index < functions.length; index += 1) (functions[index] as AddTrees)(input, rows, sums);
    };
  } catch (error) {
    if (error instanceof EvalError) return undefined;
    throw error;
  }
}

function treeCode(ensemble: TreeEnsemble, node: number): { readonly code: string; readonly nodes: number } {
  const column = ensemble.features[node] as number;
  if (column === -1) {
    return { code: `s[t+${numeral(ensemble.targets[node])}]+=${numeral(ensemble.weights[node])};`, nodes: 1 };
  }
  const threshold = numeral(ensemble.thresholds[node]);
  // Comparisons with what is missing are false.
  const isLess =
    ensemble.missingIsLess[node] === 1
      ? `!(x[o+${numeral(column)}]>=${threshold})`
      : `x[o+${numeral(column)}]<${threshold}`;
  const less = treeCode(ensemble, ensemble.whenLess[node] as number);
  const not = treeCode(ensemble, ensemble.whenNot[node] as number);
  return { code: `if(${isLess}){${less.code}}else{${not.code}}`, nodes: 1 + less.nodes + not.nodes };
}

/** A number as JavaScript reads it, also after an operator. */
const numeral = (value: unknown): string => `(${Number(value)})`;
