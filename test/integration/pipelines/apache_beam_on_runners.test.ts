import { expect, test } from '@jest/globals';
import * as beam from 'apache-beam';
import { createHeadwaterRunner } from '#pipelines/compat/apache_beam';
import { FLINK_DEFAULTS } from '#pipelines/runner/portable/flink_options';
import { serviceAddress } from '../service_address.ts';

// One pipeline of apache-beam's own API on portable runners: grouping, combining, windows and a side input go through their shuffle and state.

const SALES = [
  { shop: 'north', amount: 2, second: 1 },
  { shop: 'south', amount: 3, second: 2 },
  { shop: 'north', amount: 5, second: 70 },
];

test.each(['TEST_PRISM_JOB_ENDPOINT', 'TEST_FLINK_JOB_ENDPOINT'])(
  'on %s',
  async (address) => {
    const totals: string[] = [];
    const runner = createHeadwaterRunner({
      jobEndpoint: serviceAddress(address),
      runnerOptions: address.includes('FLINK') ? { ...FLINK_DEFAULTS, parallelism: 1 } : {},
    });
    await runner.run((root) => {
      const factor = root.apply(beam.withName('Factor', beam.create([10])));
      return root
        .apply(beam.create(SALES))
        .apply(beam.assignTimestamps(({ second }: (typeof SALES)[number]) => instant(second * 1_000)))
        .apply(beam.windowInto(beam.fixedWindows(60)))
        .apply(beam.groupBy('shop').combining('amount', (a: number, b: number) => a + b, 'total'))
        .map(
          beam.withName('Scale', (row: { shop: string; total: number }, context: Context) => {
            totals.push(`${row.shop} ${row.total * context.factor.lookup()}`);
            return row;
          }) as never,
          { factor: beam.singletonSideInput(factor) },
        );
    });
    expect(totals.sort()).toEqual(['north 20', 'north 50', 'south 30']);
  },
  120_000,
);

interface Context {
  readonly factor: beam.SideInputParam<number, number, number>;
}

const instant = (ms: number): beam.Instant => ({ toNumber: () => ms }) as never;
