import { gaugeOf, type Registry } from '#monitoring/metrics';
import { type SourceProgress, sourceProgressOf } from './source_progress.ts';

/** How far a source is behind its broker, for GET /metrics. */
export interface SourceMetrics {
  setLag(topic: string, partition: string, records: number, ms: number | undefined): void;
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
    help: 'How far behind the newest record reading is, for brokers that say so (Kinesis)',
    labelNames,
  });
  return {
    progress: sourceProgressOf(registry),
    setLag(topic, partition, records, ms) {
      lagRecords.set({ topic, partition }, records);
      if (ms !== undefined) lagSeconds.set({ topic, partition }, ms / 1_000);
    },
  };
}
