import { expect, test } from '@jest/globals';
import type { Broker, SourcePartition } from '#connectors/connector';
import { UnreadableBatchError } from '#connectors/kafka/errors';
import { createMetricsRegistry } from '#monitoring/metrics';
import type { SplittableContext } from '#pipelines/engine/splitting/splittable';
import { type BrokerRestriction, BrokerSource } from '#pipelines/io/broker_source';
import { createSourceMetrics } from '#pipelines/io/source_metrics';

const PART: BrokerRestriction = {
  ...{ kind: 'partition', topic: 'raw', partition: '0', startAt: 'earliest', position: undefined },
  ...{ newest: Number.MIN_SAFE_INTEGER, remaining: undefined },
};
const BATCH = { offset: 3n, lastOffset: 5n, reason: 'its checksum is wrong', batch: Buffer.from([1, 2]) };

/** Runs one read of a partition whose first batch cannot be read. */
function readUnreadable(unreadable?: (error: UnreadableBatchError) => string) {
  let isSkipped = false;
  const reader: SourcePartition = {
    poll: async () => {
      throw new UnreadableBatchError('raw', '0', BATCH);
    },
    position: () => (isSkipped ? '5' : '2'),
    lagRecords: () => 0n,
    skipUnreadable: () => {
      isSkipped = true;
    },
    close: async () => {},
  };
  const metrics = createSourceMetrics(createMetricsRegistry({ process: false }));
  const output: string[] = [];
  const context = {
    ...{ signal: new AbortController().signal, output: (element: string) => void output.push(element) },
    ...{ reportBacklog() {}, afterBundleCommit() {}, advanceWatermark() {}, setIdle() {}, splitOff() {} },
  } as unknown as SplittableContext<string, BrokerRestriction>;
  const source = new BrokerSource<string>({ openPartition: async () => reader } as unknown as Broker, {
    ...{ topics: ['raw'], group: 'test', startAt: 'earliest', outOfOrderMs: 0, idleAfterMs: 100, metrics },
    decode: () => ({ element: '', eventTimeMs: undefined }),
    ...(unreadable === undefined ? {} : { unreadable }),
  });
  const read = () => source.process('', PART, source.createTracker(PART), context);
  return { read, source, output, progress: metrics.progress };
}

test('a batch that cannot be read fails its partition for health, also while the job begins anew', async () => {
  const { read, source, output, progress } = readUnreadable();
  await expect(read()).rejects.toMatchObject({ code: 'CONNECTOR_UNREADABLE_BATCH' });
  await source.teardown();
  expect(progress.health(60_000)).toMatchObject({ status: 'degraded' });
  expect(progress.health(0)).toEqual({
    status: 'down',
    reason: expect.stringMatching(/^raw\[0\] has not moved for \d+ s: it cannot be read: .*offsets 3 to 5/),
  });
  expect(output).toEqual([]);
});

test('a batch that is set aside keeps its partition up', async () => {
  const { read, source, output, progress } = readUnreadable(({ reason }) => reason);
  await read();
  expect(output).toEqual(['its checksum is wrong']);
  expect(progress.health(60_000)).toEqual({ status: 'up' });
  await source.teardown();
});
