import type { Broker, LogRecord } from '#connectors/connector';
import { isMentioned } from '#connectors/entity_mention';
import { recordsOfTopic } from '#connectors/records/topic_records';
import type { DataSubject, Erasable, SubjectRecord } from './erasable.ts';

/**
 * Records of a topic. The disk log erases them; other brokers cannot.
 *
 * @param hasKeys - records have the entity's key: their broker is given a record that deletes it, which counts where the topic is compacted
 */
export const topicData = (broker: Broker, topic: string, hasKeys: boolean): Erasable => ({
  place: `topic ${topic}`,
  ...(broker.kind === 'disk_log'
    ? {}
    : { stays: `records last until the retention${hasKeys ? ' or compaction' : ''} of topic ${topic} removes them` }),
  ...(broker.kind === 'pubsub'
    ? {
        notRead: `Pub/Sub gives a message to one reader, the platform's own: what waits in topic ${topic} is not shown`,
      }
    : {}),
  async erase({ key, mention }) {
    if (broker.kind === 'disk_log') return (await broker.eraseRecords?.(topic, mention)) ?? 0;
    if (hasKeys && broker.kind === 'kafka') await broker.producer.send(topic, [{ key, value: null }]);
    return 0;
  },
  async *read({ mention }: DataSubject): AsyncGenerator<SubjectRecord> {
    // Reading would keep messages from the job whose subscription it is.
    if (broker.kind === 'pubsub') return;
    for await (const records of recordsOfTopic(broker, topic)) {
      for (const record of records) if (isMentioned(record, mention)) yield jsonOf(topic, record);
    }
  },
});

function jsonOf(topic: string, { key, value, partition, offset, timestampMs }: LogRecord): SubjectRecord {
  const text = value.toString('utf8');
  const at = { topic, partition, offset: String(offset), key, timestamp: new Date(timestampMs).toISOString() };
  try {
    return { ...at, value: JSON.parse(text) };
  } catch {
    return { ...at, value: text };
  }
}
