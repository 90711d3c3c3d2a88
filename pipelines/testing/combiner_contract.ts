import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { ContractCase } from '#kernel/contract';
import type { CombineFn } from '../engine/dofn.ts';

/** Inputs that the contract of a combiner is tried with. */
export interface CombinerContractOptions<In, Out> {
  /** Makes an input of any number; equal numbers make equal inputs. */
  readonly input: (number: number) => In;
  /** Whether two outputs count as equal; default: deep equality. Give one for sums of fractions. */
  readonly equal?: (a: Out, b: Out) => boolean;
  /** Cases of each property; default: 100. */
  readonly runs?: number;
}

const TIMEOUT_MS = 30_000;

/** Returns the cases of what every combiner does, so that runners may divide its inputs, change their order, and keep accumulators in state. */
export function combinerContract<In, Acc, Out>(
  combiner: CombineFn<In, Acc, Out>,
  { input, equal = deepEqual, runs = 100 }: CombinerContractOptions<In, Out>,
): readonly ContractCase[] {
  const cases: ContractCase[] = [];
  const numbers = fc.array(fc.integer({ min: -1_000, max: 1_000 }), { maxLength: 30 });
  const parts = fc.array(numbers, { maxLength: 6 });
  const property = (name: string, check: (divided: readonly (readonly number[])[]) => void): void => {
    const run = async (): Promise<void> => fc.assert(fc.property(parts, check), { numRuns: runs });
    cases.push({ name, timeoutMs: TIMEOUT_MS, run });
  };
  const accumulate = (each: readonly number[]): Acc =>
    each.reduce<Acc>((held, number) => combiner.addInput(held, input(number)), combiner.createAccumulator());
  const merged = (accumulators: readonly Acc[]): Out =>
    combiner.extractOutput(combiner.mergeAccumulators(accumulators));
  const same = (a: Out, b: Out, what: string): void =>
    assert.ok(equal(a, b), `${what}: ${JSON.stringify(a)} is not ${JSON.stringify(b)}`);

  property('however inputs are divided among accumulators, the merged output is the same', (divided) => {
    same(merged(divided.map(accumulate)), combiner.extractOutput(accumulate(divided.flat())), 'divided and whole');
  });
  property('the order of accumulators does not matter', (divided) => {
    same(merged(divided.map(accumulate)), merged([...divided].reverse().map(accumulate)), 'in order and reversed');
  });
  property('accumulators may be merged one after another', (divided) => {
    const step = divided
      .map(accumulate)
      .reduce<Acc>((held, each) => combiner.mergeAccumulators([held, each]), combiner.createAccumulator());
    same(combiner.extractOutput(step), merged(divided.map(accumulate)), 'step by step and at once');
  });
  property('an empty accumulator adds nothing, and reading the output changes nothing', (divided) => {
    const accumulator = accumulate(divided.flat());
    const first = combiner.extractOutput(accumulator);
    same(combiner.extractOutput(accumulator), first, 'read twice');
    same(merged([combiner.createAccumulator(), accumulator, combiner.createAccumulator()]), first, 'with empty ones');
  });
  property('an accumulator that was saved and restored continues as before', (divided) => {
    const [head = [], ...rest] = divided;
    const restored = structuredClone(accumulate(head));
    const more = rest.flat().reduce<Acc>((held, number) => combiner.addInput(held, input(number)), restored);
    same(combiner.extractOutput(more), combiner.extractOutput(accumulate(divided.flat())), 'restored and not');
  });
  return cases;
}

function deepEqual(a: unknown, b: unknown): boolean {
  try {
    assert.deepEqual(a, b);
    return true;
  } catch {
    return false;
  }
}
