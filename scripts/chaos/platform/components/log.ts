import { join } from 'node:path';
import type { Broker } from '#connectors/connector';
import { DiskLog } from '#connectors/disk_log/disk_log';
import { systemClock } from '#kernel/time';
import { silentLogger } from '#monitoring/log';
import { type Component, contentOf, counted, type OpenComponent } from '../component.ts';

const TOPIC = 'records';
const GROUP = 'readers';
const PARTITIONS = 2;

export const diskLog = (folder: string, fsync: 'always' | 'interval' = 'interval'): DiskLog =>
  new DiskLog(
    { log: silentLogger, clock: systemClock },
    { kind: 'disk_log', directory: folder, fsync, segmentBytes: 20_000 },
  );

/** Returns the ids of a topic's records whose content is right, by partition and offset; each of its records has its id as key. */
export async function idsIn(broker: Broker, topic: string): Promise<string[]> {
  const ids: string[] = [];
  const { signal } = new AbortController();
  for (const partition of await broker.listPartitions(topic)) {
    const reader = await broker.openPartition(topic, partition, { startAt: 'earliest' });
    for (;;) {
      const records = await reader.poll({ maxRecords: 500, maxWaitMs: 0, signal });
      if (records.length === 0) break;
      for (const { key = '', value } of records) if (value.toString() === contentOf(key)) ids.push(key);
    }
    await reader.close();
  }
  return ids;
}

/** The log of the embedded platform, and the positions of its readers. */
export const LOG: Component = {
  name: 'disk log',
  batch: 5,
  needsMib: 0,
  isExclusive: true,
  async open(folder): Promise<OpenComponent> {
    const log = diskLog(join(folder, 'log'));
    await log.start();
    await log.ensureTopics([{ name: TOPIC, partitions: PARTITIONS }]);
    return {
      async write(ids) {
        await log.producer.send(
          TOPIC,
          ids.map((id) => ({ key: id, value: contentOf(id) })),
        );
        await log.commit(GROUP, TOPIC, new Map([['0', ids.at(-1) as string]]));
      },
      async found(accepted) {
        const counts = counted(await idsIn(log, TOPIC));
        const position = (await log.committed(GROUP, TOPIC)).get('0');
        const last = accepted.at(-1);
        // A position before the last one that was committed: the last id counts as lost.
        if (last !== undefined && (position === undefined || accepted.includes(position)) && position !== last)
          counts.delete(last);
        return counts;
      },
      close: () => log.stop(),
    };
  },
};
