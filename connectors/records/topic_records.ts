import type { Broker, LogRecord, ReadFrom } from '../connector.ts';

const POLL = { maxRecords: 500, maxWaitMs: 300 };

/**
 * Yields the records that a topic holds now, a poll at a time, partition by partition, each in the order of its offsets.
 *
 * @param fromOf - where a partition is read from; default: its beginning
 * @param signal - aborted: reading ends after the poll under way
 */
export async function* recordsOfTopic(
  broker: Pick<Broker, 'listPartitions' | 'openPartition'>,
  topic: string,
  fromOf: (partition: string) => ReadFrom = () => ({ startAt: 'earliest' }),
  signal: AbortSignal = new AbortController().signal,
): AsyncGenerator<readonly LogRecord[]> {
  const waiting = [...(await broker.listPartitions(topic))];
  for (let partition = waiting.shift(); partition !== undefined; partition = waiting.shift()) {
    const reader = await broker.openPartition(topic, partition, fromOf(partition));
    const end = reader.endOffset?.();
    try {
      // The broker has said that there is nothing: no poll has to wait for it.
      const isEmpty = end !== undefined && reader.lagRecords() === 0n && reader.successors === undefined;
      while (!isEmpty) {
        const records = await reader.poll({ ...POLL, signal });
        const held = end === undefined ? records : records.filter(({ offset }) => offset < end);
        if (held.length > 0) yield held;
        const successors = reader.successors?.();
        waiting.push(...(successors ?? []));
        const last = records.at(-1);
        const isOver = last === undefined ? reader.lagRecords() === 0n : end !== undefined && last.offset + 1n >= end;
        if (isOver || successors !== undefined || signal.aborted) break;
      }
    } finally {
      await reader.close();
    }
  }
}
