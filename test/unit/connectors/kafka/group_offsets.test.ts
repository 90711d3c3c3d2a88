import { expect, test } from '@jest/globals';
import { GroupOffsets } from '#connectors/kafka/group_offsets';
import { type Cluster, createErrorFromCode } from '#connectors/kafka/kafkajs_cluster';

const COORDINATOR_LOAD_IN_PROGRESS = 14;
const NOT_COORDINATOR = 16;
const GROUP_AUTHORIZATION_FAILED = 30;

/** A coordinator that refuses with `codes`, one a request, and answers after them; as a broker does that has only just begun. */
function offsetsOf(codes: number[]): GroupOffsets {
  const answer = async <T>(value: T): Promise<T> => {
    const code = codes.shift();
    if (code !== undefined) throw createErrorFromCode(code);
    return value;
  };
  const partitions = [
    { partition: 0, offset: '7', metadata: 'topic-id=abc' },
    { partition: 1, offset: '-1', metadata: null },
    { partition: 2, offset: '9', metadata: '' },
  ];
  const cluster = {
    findGroupCoordinator: async () => ({
      offsetCommit: () => answer({}),
      offsetFetch: () => answer({ responses: [{ partitions }] }),
    }),
  };
  return new GroupOffsets({ use: (_, work) => work(cluster as unknown as Cluster) });
}

const committed = new Map([
  [0, { offset: 7n, topicId: 'abc' }],
  [2, { offset: 9n, topicId: undefined }],
]);

test.each([[[]], [[NOT_COORDINATOR]], [[COORDINATOR_LOAD_IN_PROGRESS, NOT_COORDINATOR]]])(
  'offsets are read and committed while the coordinator moves or loads: %j',
  async (codes) => {
    expect(await offsetsOf([...codes]).committed('group', 'topic', [0, 1, 2])).toEqual(committed);
    await offsetsOf([...codes]).commit('group', 'topic', committed);
  },
);

test('what does not pass with time is not tried again', async () => {
  const codes = [GROUP_AUTHORIZATION_FAILED, NOT_COORDINATOR];
  await expect(offsetsOf(codes).committed('group', 'topic', [0])).rejects.toThrow();
  expect(codes).toEqual([NOT_COORDINATOR]);
});
