import type { Broker } from '#connectors/connector';

export interface PartitionLag {
  readonly partition: string;
  /** After which record the group continues; absent: it has not begun. */
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
