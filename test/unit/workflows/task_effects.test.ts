import { expect, test } from '@jest/globals';
import { effectsOf } from '#workflows/tasks/task_effects';

test('rows that a task has written are an integer from 0, or the task fails and the data set is named', () => {
  const { writes, written } = effectsOf('run');
  for (const rows of [Number.NaN, -1, 1.5, Number.POSITIVE_INFINITY, '7', 10n])
    expect(() => writes('predictions', 1, rows as number)).toThrow(/"predictions".*integer.*not/);
  writes('predictions', 1, 0);
  writes('predictions', 2, 7);
  writes('model', 3);
  expect(written.map(({ rows }) => rows)).toEqual([0, 7]);
});
