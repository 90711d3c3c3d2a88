import { expect, test } from '@jest/globals';
import type { ProcessContext } from '#pipelines/engine/dofn';
import { RateLimitFn } from '#pipelines/transforms/standard/rate_limit';

test.each([
  { burst: 1, at: [0, 0, 0, 1_000, 1_001], passes: [0, 100, 200, 1_000, 1_100] },
  { burst: 3, at: [0, 0, 0, 0, 1_000, 1_000], passes: [0, 0, 0, 100, 1_000, 1_000] },
])('with bursts of $burst, elements pass when they may', async ({ burst, at, passes }) => {
  let now = 0;
  const passed: number[] = [];
  const context = { clock: { now: () => now }, output: () => passed.push(now) } as unknown as ProcessContext<number>;
  const limit = new RateLimitFn<number>(100, burst, async (delayMs) => {
    now += delayMs;
  });
  for (const comes of at) {
    now = Math.max(now, comes);
    await limit.process(0, context);
  }
  expect(passed).toEqual(passes);
});
