import assert from 'node:assert/strict';
import { test } from 'node:test';
import { accuracyOf, aggregated, trainOn } from '../federated_averaging.ts';
import { FEATURES, makeClients } from '../rows_generator.ts';

const nothing = Array.from({ length: FEATURES + 1 }, () => 0);

test('one client is central training; equal clients are as one', () => {
  const { clients } = makeClients(['a'], 100, 1);
  const rows = clients.get('a') ?? [];
  const weights = trainOn(nothing, rows, 3, 0.5);
  const update = { client: 'a', rows: rows.length, weights };
  assert.deepEqual(aggregated([update], 'mean'), weights);
  for (const [at, value] of aggregated([update, update], 'mean').entries()) {
    assert.ok(Math.abs(value - (weights[at] as number)) < 1e-12);
  }
});

test('one step of every client, by rows, is one step over all rows', () => {
  const { clients } = makeClients(['a', 'b', 'c'], 50, 2);
  const [a = [], b = [], c = []] = [...clients.values()];
  const parts = [a, b.slice(0, 20), c.slice(0, 35)];
  const updates = parts.map((rows, at) => ({
    client: `${at}`,
    rows: rows.length,
    weights: trainOn(nothing, rows, 1, 0.5),
  }));
  const central = trainOn(nothing, parts.flat(), 1, 0.5);
  for (const [at, value] of aggregated(updates, 'mean').entries())
    assert.ok(Math.abs(value - (central[at] as number)) < 1e-12);
});

test('the median is not moved by one client; no updates are refused', () => {
  const of = (...values: readonly number[]) =>
    values.map((value, at) => ({ client: `${at}`, rows: 1, weights: [value] }));
  assert.deepEqual(aggregated(of(1, 2, 1e9), 'median'), [2]);
  assert.deepEqual(aggregated(of(1, 2, 4, 1e9), 'median'), [3]);
  assert.throws(() => aggregated([], 'mean'), /no updates/);
});

test('a trained model predicts labels of held-out rows', () => {
  const { clients, test: held } = makeClients(['a', 'b'], 400, 3);
  assert.ok(accuracyOf(trainOn(nothing, [...clients.values()].flat(), 50, 0.5), held) > 0.75);
});
