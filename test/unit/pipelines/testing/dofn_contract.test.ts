import { describe, expect, test } from '@jest/globals';
import { eventTime } from '#kernel/time';
import { type DoFn, type FinishBundleContext, type ProcessContext, valueState } from '#pipelines/engine/dofn';
import { GLOBAL_WINDOW } from '#pipelines/engine/windowing/window';
import type { KV } from '#pipelines/model/pcollection';
import { doFnContract } from '#pipelines/testing/dofn_contract';

interface Item {
  readonly id: string;
  amount: number;
}
const input = (number: number): Item => ({ id: `i${number}`, amount: number });

/** Writes what it gathers at the end of each bundle. */
class Buffered implements DoFn<Item, string> {
  #ids: string[] = [];
  startBundle(): void {
    this.#ids = [];
  }
  process({ id }: Item): void {
    this.#ids.push(id);
  }
  finishBundle(context: FinishBundleContext<string>): void {
    for (const id of this.#ids) context.outputInWindow(id, eventTime(0), GLOBAL_WINDOW);
  }
}

class SumPerKey implements DoFn<KV<string, number>, never> {
  readonly sum = valueState<number>('sum');
  process({ value }: KV<string, number>, context: ProcessContext<never>): void {
    const sum = context.state(this.sum);
    sum.write((sum.read() ?? 0) + value);
  }
}

const failures = async <In, Out>(make: () => DoFn<In, Out>, of: (number: number) => In): Promise<readonly string[]> => {
  const failed: string[] = [];
  for (const { name, run } of doFnContract(make, { input: of, runs: 10 })) {
    await run().catch(() => failed.push(name));
  }
  return failed;
};

describe('DoFns that keep the contract', () => {
  for (const { name, timeoutMs, run } of [
    ...doFnContract(() => ({ process: ({ id }: Item, context) => context.output(id) }), { input, runs: 10 }),
    ...doFnContract(() => new Buffered(), { input, runs: 10 }),
    ...doFnContract(() => new SumPerKey(), { input: (number) => ({ key: `k${number % 3}`, value: number }), runs: 10 }),
  ]) {
    test(name, run, timeoutMs);
  }
});

describe('the contract finds', () => {
  test('a DoFn whose output counts the bundle', async () => {
    const make = (): DoFn<Item, number> => {
      let count = 0;
      return {
        startBundle() {
          count = 0;
        },
        process(_, context) {
          count += 1;
          context.output(count);
        },
      };
    };
    expect(await failures(make, input)).toContain('outputs do not depend on how elements are divided into bundles');
  });

  test('a DoFn that keeps elements beyond a bundle', async () => {
    const make = (): DoFn<Item, string> => {
      const seen: string[] = [];
      return {
        process({ id }, context) {
          seen.push(id);
          context.output(seen.join());
        },
      };
    };
    expect(await failures(make, input)).toEqual(['outputs do not depend on the order of elements']);
  });

  test('a DoFn whose instances share state', async () => {
    let count = 0;
    const make = (): DoFn<Item, number> => ({
      process(_, context) {
        count += 1;
        context.output(count);
      },
    });
    expect(await failures(make, input)).toContain(
      'another instance has the same outputs, and elements are not changed',
    );
  });

  test('a DoFn that changes its element, and one that draws lots', async () => {
    const changing: DoFn<Item, Item> = {
      process(item, context) {
        item.amount += 1;
        context.output(item);
      },
    };
    expect(await failures(() => changing, input)).toContain(
      'another instance has the same outputs, and elements are not changed',
    );
    const random: DoFn<Item, number> = { process: (_, context) => context.output(Math.random()) };
    expect(await failures(() => random, input)).toContain(
      'another instance has the same outputs, and elements are not changed',
    );
  });
});
