import { Counter, Gauge, Histogram, LATENCY_BUCKETS_SECONDS, type Registry } from '#monitoring/metrics';
import { Distribution, type Metric } from '#pipelines/engine/metrics';

/** What the embedded runner reports about a job, for GET /metrics. */
export interface PipelineMetrics {
  readonly bundles: Counter;
  readonly bundleFailures: Counter;
  readonly bundleSeconds: Histogram;
  readonly snapshotSeconds: Histogram;
  readonly snapshotBytes: Gauge;
  readonly stateBytes: Gauge<'transform'>;
  readonly watermarkLagSeconds: Gauge;
  readonly backlogRecords: Gauge;
  /** Elements that a transform has put out. */
  readonly elements: Counter<'transform'>;
  readonly droppedLate: Counter<'transform'>;
  /** State that a restore did not take over as it was. */
  readonly stateChanges: Counter<'transform' | 'change'>;
  readonly stageSeconds: Histogram<'transform'>;
  readonly transformWatermark: Gauge<'transform'>;
  /** A metric that a DoFn keeps, as it is now. */
  setUserMetric(transform: string, metric: Metric): void;
}

export function createPipelineMetrics(registry: Registry): PipelineMetrics {
  const registers = [registry];
  const elements = new Counter({
    name: 'pipeline_elements_total',
    help: 'Elements put out by a transform',
    labelNames: ['transform'],
    registers,
  });
  const user = new Gauge({
    name: 'pipeline_user_metric',
    help: 'Counters, gauges and distributions (their sum, count, min and max) of DoFns',
    labelNames: ['transform', 'name', 'part'],
    registers,
  });
  return {
    elements,
    bundles: new Counter({ name: 'pipeline_bundles_total', help: 'Bundles committed', registers }),
    bundleFailures: new Counter({
      name: 'pipeline_bundle_failures_total',
      help: 'Bundles that failed and were done again from the newest snapshot',
      registers,
    }),
    bundleSeconds: new Histogram({
      name: 'pipeline_bundle_seconds',
      help: 'Time a bundle took, sinks included',
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    }),
    snapshotSeconds: new Histogram({
      name: 'pipeline_snapshot_seconds',
      help: 'Time a snapshot took to write',
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    }),
    snapshotBytes: new Gauge({
      name: 'pipeline_snapshot_bytes',
      help: 'Bytes that the newest snapshot has written',
      registers,
    }),
    stateBytes: new Gauge({
      name: 'pipeline_state_bytes',
      help: "State of a transform in the newest snapshot's file",
      labelNames: ['transform'],
      registers,
    }),
    stateChanges: new Counter({
      name: 'pipeline_state_changes_total',
      help: 'Parts of saved state that a restore dropped, adapted or started empty',
      labelNames: ['transform', 'change'],
      registers,
    }),
    watermarkLagSeconds: new Gauge({
      name: 'pipeline_watermark_lag_seconds',
      help: 'Now minus the slowest watermark',
      registers,
    }),
    backlogRecords: new Gauge({
      name: 'pipeline_backlog_records',
      help: 'Records in the sources not yet read',
      registers,
    }),
    droppedLate: new Counter({
      name: 'dropped_late_total',
      help: 'Elements dropped because their window had expired',
      labelNames: ['transform'],
      registers,
    }),
    stageSeconds: new Histogram({
      name: 'pipeline_stage_seconds',
      help: 'Time a transform took at the end of a bundle: timers, panes, finishBundle, asynchronous work',
      labelNames: ['transform'],
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    }),
    transformWatermark: new Gauge({
      name: 'pipeline_transform_watermark_seconds',
      help: 'Output watermark of a transform, seconds since the epoch; absent before the first and after the last event',
      labelNames: ['transform'],
      registers,
    }),
    setUserMetric(transform, metric) {
      const { name } = metric;
      const set = (part: string, value: number): void => {
        if (Number.isFinite(value)) user.set({ transform, name, part }, value);
      };
      if (!(metric instanceof Distribution)) {
        set('value', metric.value);
        return;
      }
      for (const part of ['count', 'sum', 'min', 'max'] as const) set(part, metric[part]);
    },
  };
}
