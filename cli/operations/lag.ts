import Table from 'cli-table3';
import type { Broker } from '#connectors/connector';
import { withBroker } from '../parts/with_broker.ts';
import { loadPlatformConfig } from '../project/platform_config.ts';

export interface LagOptions {
  readonly group?: string;
  readonly topic?: string;
  readonly json: boolean;
}

export interface PartitionLag {
  readonly partition: string;
  /** After which record the group goes on; absent: it has not begun. */
  readonly committed: string | undefined;
  readonly lag: number;
}

/** How far a group is behind in each partition of a topic; one that has not begun is behind by all there is. */
export async function lagOf(broker: Broker, group: string, topic: string): Promise<readonly PartitionLag[]> {
  const committed = await broker.committed(group, topic);
  const lags: PartitionLag[] = [];
  for (const partition of await broker.listPartitions(topic)) {
    const position = committed.get(partition);
    const from = position === undefined ? ({ startAt: 'earliest' } as const) : { resumeAfter: position };
    const reader = await broker.openPartition(topic, partition, from);
    lags.push({ partition, committed: position, lag: Number(reader.lagRecords()) });
    await reader.close();
  }
  return lags;
}

/** `headwater lag`: the pipeline's distance from the end of its topic. */
export async function showLag(options: LagOptions): Promise<void> {
  await withBroker(loadPlatformConfig(process.env), async (broker, { topics, pipeline }) => {
    const { group = pipeline.group, topic = topics.rawEvents } = options;
    const lags = await lagOf(broker, group, topic);
    const total = lags.reduce((sum, { lag }) => sum + lag, 0);
    if (options.json) {
      process.stdout.write(`${JSON.stringify({ group, topic, total, partitions: lags })}\n`);
      return;
    }
    const table = new Table({ head: ['partition', 'committed', 'lag'], style: { head: [], border: [] } });
    for (const { partition, committed, lag } of lags) table.push([partition, committed ?? 'nothing yet', lag]);
    process.stdout.write(`${table.toString()}\n${group} is ${total} records behind in ${topic}\n`);
  });
}
