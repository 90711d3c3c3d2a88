// AssemblyScript, compiled to WebAssembly by `npm run kernels`: the loop in which a model of trees spends its time.
//
// A node takes 16 bytes: its threshold (f32), where its column is within a row (u32, bytes), where the node for less is (u32, bytes; the node for
// not less follows it), and, of a leaf, what it adds (f32). A leaf's threshold is NaN and its node for less is itself: rows that have arrived stay.
//
// Eight trees are walked at a time, all for as many steps as the deepest of them has, without a branch that depends on data: the processor works on
// eight chains of loads at once and never guesses wrong, where a walk by if and else mispredicts every other step.

const TREES = 8;
const NODE_SHIFT = 4;
const LEAF_VALUE = 12;
/** Of a group: its steps, the byte of the output within a row of sums, the roots of its trees. */
const GROUP_BYTES = 4 * (2 + TREES);

function step(node: usize, row: usize): usize {
  const isNotLess = load<f32>(row + load<u32>(node, 4)) >= load<f32>(node);
  return <usize>load<u32>(node, 8) + ((<usize>isNotLess) << NODE_SHIFT);
}

/**
 * Adds what groups of trees give to the sums of rows.
 *
 * @param rows - FP32, `rowBytes` each
 * @param sums - FP32, `sumBytes` each
 */
export function addTrees(
  groups: usize,
  groupCount: i32,
  rows: usize,
  rowBytes: i32,
  rowCount: i32,
  sums: usize,
  sumBytes: i32,
): void {
  for (let index = 0; index < groupCount; index++) {
    const group = groups + index * GROUP_BYTES;
    const steps = load<i32>(group);
    let row = rows;
    let sum = sums + load<u32>(group, 4);
    for (let count = rowCount; count > 0; count--) {
      let a = <usize>load<u32>(group, 8);
      let b = <usize>load<u32>(group, 12);
      let c = <usize>load<u32>(group, 16);
      let d = <usize>load<u32>(group, 20);
      let e = <usize>load<u32>(group, 24);
      let f = <usize>load<u32>(group, 28);
      let g = <usize>load<u32>(group, 32);
      let h = <usize>load<u32>(group, 36);
      for (let left = steps; left > 0; left--) {
        a = step(a, row);
        b = step(b, row);
        c = step(c, row);
        d = step(d, row);
        e = step(e, row);
        f = step(f, row);
        g = step(g, row);
        h = step(h, row);
      }
      const first =
        load<f32>(a, LEAF_VALUE) + load<f32>(b, LEAF_VALUE) + load<f32>(c, LEAF_VALUE) + load<f32>(d, LEAF_VALUE);
      const second =
        load<f32>(e, LEAF_VALUE) + load<f32>(f, LEAF_VALUE) + load<f32>(g, LEAF_VALUE) + load<f32>(h, LEAF_VALUE);
      store<f32>(sum, load<f32>(sum) + first + second);
      row += rowBytes;
      sum += sumBytes;
    }
  }
}
