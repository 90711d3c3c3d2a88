import { expect, test } from '@jest/globals';
import type { Broker, Position } from '#connectors/connector';
import { silentLogger } from '#monitoring/log';
import { ProgressCommitter } from '#pipelines/io/progress_committer';

/** As much of a broker as commits, which fails so often. */
function failing(times: number) {
  const committed = new Map<string, Position>();
  let left = times;
  const broker = {
    async commit(_group: string, topic: string, positions: ReadonlyMap<string, Position>) {
      left -= 1;
      if (left >= 0) throw new Error('the coordinator is moving');
      for (const [partition, position] of positions) committed.set(`${topic}/${partition}`, position);
    },
  } as unknown as Broker;
  return { broker, committed };
}

test('a commit that fails is tried again with the newest positions, and fails nothing', async () => {
  const { broker, committed } = failing(2);
  const failures: string[] = [];
  const committer = new ProgressCommitter(
    { broker, log: silentLogger, onFailure: (topic) => failures.push(topic) },
    'g',
  );
  await committer.commit('t', '0', '10');
  await committer.commit('t', '1', '5');
  expect(committed.size).toBe(0);
  await committer.commit('t', '0', '20');
  expect(Object.fromEntries(committed)).toEqual({ 't/0': '20', 't/1': '5' });
  expect(failures).toEqual(['t', 't']);
  await committer.stop();
});

test('what was never committed is tried by itself, and at the end', async () => {
  const { broker, committed } = failing(1);
  const committer = new ProgressCommitter({ broker, log: silentLogger, onFailure: () => {} }, 'g');
  await committer.commit('t', '0', '7');
  await committer.stop();
  expect(committed.get('t/0')).toBe('7');
  const hopeless = failing(100);
  const other = new ProgressCommitter({ broker: hopeless.broker, log: silentLogger, onFailure: () => {} }, 'g');
  await other.commit('t', '0', '7');
  await other.stop();
  expect(hopeless.committed.size).toBe(0);
});
