import { counterOf, gaugeOf, type Registry } from '#monitoring/metrics';
import { type SourceProgress, sourceProgressOf } from './source_progress.ts';

/** How far a source is behind its broker, for GET /metrics. */
export interface SourceMetrics {
  setLag(topic: string, partition: string, records: number, ms: number | undefined): void;
  /** Records that retention deleted before they were read; undefined when their number is not known. */
  countLost(topic: string, partition: string, records: number | undefined): void;
  /** The topic was created again, and is read from its start. */
  countRecreated(topic: string): void;
  /** A batch was set aside because it cannot be read. */
  countUnreadable(topic: string): void;
  setWorkers(topic: string, partition: string, workers: number): void;
  countFailedCommit(topic: string): void;
  /** Whether the partitions move, for health. */
  readonly progress: SourceProgress;
}

/** May be called again for a registry: a graph is built more than once. */
export function createSourceMetrics(registry: Registry): SourceMetrics {
  const labelNames = ['topic', 'partition'] as const;
  const lagRecords = gaugeOf(registry, {
    name: 'source_lag_records',
    help: 'Records of a partition that were not read yet, as last seen',
    labelNames,
  });
  const lagSeconds = gaugeOf(registry, {
    name: 'source_lag_seconds',
    help: 'How far behind the newest record reading is, for brokers that report it (Kinesis)',
    labelNames,
  });
  const byTopic = ['topic'] as const;
  const gaps = counterOf(registry, {
    name: 'source_gaps_total',
    help: 'Times that a reader found its position deleted and continued at another',
    labelNames: byTopic,
  });
  const lost = counterOf(registry, {
    name: 'source_records_lost_total',
    help: 'Records that retention deleted before they were read, where they are numbered',
    labelNames: byTopic,
  });
  const recreated = counterOf(registry, {
    name: 'source_topics_recreated_total',
    help: 'Partitions read from their start because their topic was created again',
    labelNames: byTopic,
  });
  const unreadable = counterOf(registry, {
    name: 'source_batches_unreadable_total',
    help: 'Batches set aside because they cannot be read',
    labelNames: byTopic,
  });
  const failedCommits = counterOf(registry, {
    name: 'source_commits_failed_total',
    help: 'Commits of progress that failed and are tried again',
    labelNames: byTopic,
  });
  const workers = gaugeOf(registry, {
    name: 'subscriber_workers',
    help: 'Streams by which a subscription is read, for brokers whose readers scale (Pub/Sub)',
    labelNames,
  });
  return {
    countLost(topic, _partition, records) {
      gaps.inc({ topic });
      if (records !== undefined) lost.inc({ topic }, records);
    },
    countRecreated: (topic) => recreated.inc({ topic }),
    countUnreadable: (topic) => unreadable.inc({ topic }),
    countFailedCommit: (topic) => failedCommits.inc({ topic }),
    setWorkers: (topic, partition, count) => workers.set({ topic, partition }, count),
    progress: sourceProgressOf(registry),
    setLag(topic, partition, records, ms) {
      lagRecords.set({ topic, partition }, records);
      if (ms !== undefined) lagSeconds.set({ topic, partition }, ms / 1_000);
    },
  };
}
