import { expect, test } from '@jest/globals';
import { type EventTime, eventTime } from '#kernel/time';
import {
  boundedOutOfOrderWatermark,
  monotonicWatermark,
  type WatermarkEstimator,
  wallTimeWatermark,
} from '#pipelines/engine/time/watermark_estimators';

function reported(estimator: WatermarkEstimator, observed: readonly number[]): number {
  for (const timestamp of observed) estimator.observe(eventTime(timestamp));
  let watermark = Number.NaN;
  estimator.report({ advanceWatermark: (to: EventTime) => (watermark = to) });
  return watermark;
}

test('monotonic: the newest output, also when one is older', () => {
  expect(reported(monotonicWatermark(), [5, 9, 7])).toBe(9);
});

test('wall time: now, less the disorder', () => {
  expect(
    reported(
      wallTimeWatermark(() => 1_000, 50),
      [5],
    ),
  ).toBe(950);
});

test('bounded disorder: the newest output, less the disorder', () => {
  expect(reported(boundedOutOfOrderWatermark(3), [5, 9, 7])).toBe(6);
});
