import { expect, test } from '@jest/globals';
import { StallWatch } from '#examples/fraud/stall_watch';

test('work stalls when nothing has changed for as long as allowed, however long all of it takes', () => {
  let now = 0;
  const watch = new StallWatch(1_000, () => now);
  for (let done = 0; done < 100; done += 1) {
    now += 900;
    expect(watch.isStalled(done)).toBe(false);
  }
  now += 1_000;
  expect(watch.isStalled(99)).toBe(false);
  now += 1;
  expect(watch.isStalled(99)).toBe(true);
  // It moves again, also backwards.
  expect(watch.isStalled(98)).toBe(false);
});
