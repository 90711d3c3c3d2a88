import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FeatureTest } from 'headwater/testing';
import { marketView } from '../features/market.ts';

test('the average price is that of open, high, low and close', () => {
  const features = new FeatureTest([marketView], { now: '2026-01-05T21:00:00Z' });
  features.ingest({
    ...{ event_id: 'e1', event_type: 'daily_bar', timestamp: features.now, symbol: 'AMZN' },
    ...{ open: 100, high: 104, low: 98, close: 102, volume: 1_000 },
  });
  assert.equal(features.row(marketView, { symbol: 'AMZN' })?.avg_price, 101);
});
