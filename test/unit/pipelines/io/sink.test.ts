import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { DeadLetter } from '#connectors/dead_letters/dead_letters';
import { ConnectionError, RecordRefusedError } from '#connectors/errors';
import { silentLogger } from '#monitoring/log';
import { createMetricsRegistry } from '#monitoring/metrics';
import { type SinkSettings, writeTo } from '#pipelines/io/sink';
import { create } from '#pipelines/model/transforms';
import { type Collected, collectInto, runToEnd } from '#pipelines/testing/collect';
import { turns } from '../../../support/turns.ts';

async function run(values: readonly number[], settings: Omit<SinkSettings<number>, 'target'>) {
  const letters: Collected<DeadLetter>[] = [];
  const metrics = createMetricsRegistry({ process: false });
  const deps = { log: silentLogger, metrics };
  await runToEnd((root) => {
    const dead = root
      .apply(create(values))
      .apply(writeTo<number>(deps, { target: 'store', firstDelayMs: 1, longestDelayMs: 5, ...settings }));
    collectInto(dead, letters);
  });
  return { letters: letters.map(({ value }) => value), metrics: await metrics.metrics() };
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
const down = (): never => {
  throw new ConnectionError('the store', new Error('down'));
};

test('batches are as large as asked, and so many are under way at once', async () => {
  let underWay = 0;
  let most = 0;
  const sizes: number[] = [];
  const written: number[] = [];
  await run(numbers(1_000), {
    maxRecords: 30,
    maxInFlight: 3,
    async write(batch) {
      underWay += 1;
      most = Math.max(most, underWay);
      sizes.push(batch.length);
      await turns();
      written.push(...batch);
      underWay -= 1;
    },
  });
  expect(written.sort((a, b) => a - b)).toEqual(numbers(1_000));
  expect(Math.max(...sizes)).toBe(30);
  expect(most).toBeGreaterThan(1);
  expect(most).toBeLessThanOrEqual(3);
});

test('no batch is larger than asked, but for a value that is so alone', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 60 }), async (values) => {
      const batches: (readonly number[])[] = [];
      const write = async (batch: readonly number[]) => void batches.push(batch);
      await run(values, { maxBytes: 20, bytesOf: (value) => value, write });
      expect(batches.flat().sort((a, b) => a - b)).toEqual([...values].sort((a, b) => a - b));
      const sizeOf = (batch: readonly number[]): number => batch.reduce((sum, value) => sum + value, 0);
      for (const batch of batches) expect(sizeOf(batch) <= 20 || batch.length === 1).toBe(true);
    }),
    { numRuns: 30 },
  );
});

test('an outage is waited out; the circuit opens and closes', async () => {
  let left = 7;
  const written: number[] = [];
  const { letters, metrics } = await run(numbers(10), {
    async write(batch) {
      left -= 1;
      if (left >= 0) down();
      written.push(...batch);
    },
  });
  expect(written).toEqual(numbers(10));
  expect(letters).toEqual([]);
  expect(metrics).toMatch(/circuit_open\{target="store"\} 0/);
}, 20_000);

test('when the outage lasts too long the job fails with what was wrong', async () => {
  await expect(run([1], { giveUpAfterMs: 20, write: async () => down() })).rejects.toThrow(
    /the store is not available: down/,
  );
});

test('whatever the target refuses for good becomes a dead letter, and everything else is written once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.nat(200), { maxLength: 120 }),
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 2, max: 9 }),
      async (values, maxRecords, divisor) => {
        const written: number[] = [];
        const isPoison = (value: number): boolean => value % divisor === 0;
        const { letters } = await run(values, {
          maxRecords,
          async write(batch) {
            const poison = batch.find(isPoison);
            if (poison !== undefined) throw new RecordRefusedError('store', 'rows', String(poison), 'not this one');
            written.push(...batch);
          },
        });
        const ascending = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);
        expect(ascending(written)).toEqual(ascending(values.filter((value) => !isPoison(value))));
        expect(ascending(letters.map(({ payload }) => Number(payload)))).toEqual(ascending(values.filter(isPoison)));
        for (const { reason, stage } of letters) {
          expect(reason).toContain('not this one');
          expect(stage).toBe('sink.store');
        }
      },
    ),
    { numRuns: 40 },
  );
});
