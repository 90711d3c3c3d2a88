import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { ContractCase } from '#kernel/contract';
import type { DoFn } from '../engine/dofn.ts';
import { parDo } from '../model/transforms.ts';
import { type Collected, collectInto, runToEnd } from './collect.ts';
import { testStream } from './test_stream.ts';

/** Elements that the contract of a DoFn is tried with. */
export interface DoFnContractOptions<In> {
  /** Makes an element of any number; equal numbers make equal elements. */
  readonly input: (number: number) => In;
  /** Whether outputs may depend on the order of elements, as with state that keeps the newest; default: false. */
  readonly isOrdered?: boolean;
  /** Cases of each property; default: 20. */
  readonly runs?: number;
}

const TIMEOUT_MS = 120_000;

/**
 * Returns the cases of what every DoFn does, so that runners may divide elements into bundles, process them in any order and again after a failure, and send them to other
 * processes.
 *
 * ```ts
 * doFnContract(() => new ParsePrices(), { input: (number) => ({ id: `p${number}`, price: number / 100 }) })
 * ```
 *
 * @param make - returns a new instance for each job
 */
export function doFnContract<In, Out>(
  make: () => DoFn<In, Out>,
  { input, isOrdered = false, runs = 20 }: DoFnContractOptions<In>,
): readonly ContractCase[] {
  const cases: ContractCase[] = [];
  const numbers = fc.array(fc.integer({ min: -1_000, max: 1_000 }), { minLength: 1, maxLength: 20 });
  const bundles = fc.array(numbers, { minLength: 1, maxLength: 5 });
  const property = (name: string, check: (divided: readonly (readonly number[])[]) => Promise<void>): void => {
    const run = async (): Promise<void> => fc.assert(fc.asyncProperty(bundles, check), { numRuns: runs });
    cases.push({ name, timeoutMs: TIMEOUT_MS, run });
  };
  /** Returns the outputs for bundles of elements, in no order; elements are encoded between transforms and may not be changed. */
  const outputs = async (divided: readonly (readonly number[])[]): Promise<readonly string[]> => {
    const into: Collected<Out>[] = [];
    const stream = divided.reduce(
      (built, bundle) => built.add(...bundle.map((number) => [input(number), 0] as const)),
      testStream<In>(),
    );
    await runToEnd(
      (root) => collectInto(root.apply(stream.toInfinity()).apply(parDo(make(), { name: 'DoFn' })), into),
      {
        strict: true,
      },
    );
    return shown(into);
  };

  property('outputs do not depend on how elements are divided into bundles', async (divided) => {
    assert.deepEqual(await outputs(divided.flat().map((number) => [number])), await outputs([divided.flat()]));
  });
  if (!isOrdered) {
    property('outputs do not depend on the order of elements', async (divided) => {
      assert.deepEqual(await outputs([divided.flat().reverse()]), await outputs([divided.flat()]));
    });
  }
  property('another instance has the same outputs, and elements are not changed', async (divided) => {
    assert.deepEqual(await outputs(divided), await outputs(divided));
  });
  return cases;
}

/** Outputs with their times as JSON, sorted: a PCollection has no order. */
const shown = (collected: readonly Collected<unknown>[]): readonly string[] =>
  collected
    .map(({ value, timestamp }) =>
      JSON.stringify({ value, timestamp }, (_, each: unknown) => {
        if (typeof each === 'bigint') return `${each}n`;
        if (typeof each === 'number' && !Number.isFinite(each)) return String(each);
        return each instanceof Map || each instanceof Set ? [...each] : each;
      }),
    )
    .sort();
