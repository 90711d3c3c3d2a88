import { expect, test } from '@jest/globals';
import * as beam from 'apache-beam';
import { createHeadwaterRunner } from '#pipelines/compat/apache_beam';
import { FLINK_DEFAULTS } from '#pipelines/runner/portable/flink_options';
import { serviceAddress } from '../service_address.ts';

// One pipeline of apache-beam's own API on portable runners: grouping and combining go through their shuffle, in windows, and a side input through their state.

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
        .map(
          beam.withName('Scale', ({ amount, ...sale }: Sale, context: Context) => ({
            ...sale,
            amount: amount * context.factor.lookup(),
          })) as never,
          { factor: beam.singletonSideInput(factor) },
        )
        .apply(beam.assignTimestamps(({ second }: Sale) => instant(second * 1_000)) as never)
        .apply(beam.windowInto(beam.fixedWindows(60)))
        .apply(beam.groupBy('shop' as never).combining('amount' as never, (a: number, b: number) => a + b, 'total'))
        .map(
          beam.withName('Collect', (row: { shop: string; total: number }) => {
            totals.push(`${row.shop} ${row.total}`);
            return row;
          }),
        );
    });
    expect(totals.sort()).toEqual(['north 20', 'north 50', 'south 30']);
  },
  120_000,
);

type Sale = (typeof SALES)[number];

interface Context {
  readonly factor: beam.SideInputParam<number, number, number>;
}

const instant = (ms: number): beam.Instant => ({ toNumber: () => ms }) as never;
