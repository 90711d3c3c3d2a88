import { systemClock } from '#kernel/time';
import { Counter, Gauge, Histogram, LATENCY_BUCKETS_SECONDS, type Registry } from '#monitoring/metrics';

/** What the feature pipeline reports; the first three names are fixed by the platform's dashboards. */
export interface FeatureMetrics {
  /** Where they are, for others of the same pipeline. */
  readonly registry: Registry;
  /** Events, each once, counted before any view sees it. */
  readonly processed: Counter;
  readonly failed: Counter<'reason'>;
  readonly computationSeconds: Histogram;
  /** Rows that no event made: something left a window. */
  readonly decayed: Counter;
  /** Broken quality rules, by events; that an event comes once is one of every view. */
  readonly violations: Counter<'view' | 'rule' | 'action'>;
  /** Out-of-order events, which count. */
  readonly late: Counter;
  /** Rows that were emitted again because an event of before their time arrived later. */
  readonly corrected: Counter;
  /** Ids that were dropped although an event with them could still arrive. */
  readonly forgottenIds: Counter<'view'>;
  /** Events that may repeat one whose id was dropped. */
  readonly uncheckedIds: Counter<'view'>;
  /** What became of events, once for each view: `computed` and then `written` or `refused` by a rule, `late`, `duplicate`, `failed`, `event_id_conflict`, `view_stopped`, `erased`. */
  readonly events: Counter<'view' | 'outcome'>;
  /** Rows that a view's own functions could not give. */
  readonly failures: Counter<'view' | 'feature'>;
  readonly stoppedViews: Gauge<'view'>;
  readonly duplicates: Counter;
  readonly endToEndSeconds: Histogram;
  /** Event time of the newest row that was written, ms, by view. */
  readonly newestRows: Map<string, number>;
  /** Told each end-to-end latency as well, ms; for the demo's exact quantiles. */
  onEndToEnd: (latencyMs: number) => void;
}

export function createFeatureMetrics(registry: Registry): FeatureMetrics {
  const registers = [registry];
  const newestRows = new Map<string, number>();
  new Gauge({
    name: 'feature_freshness_seconds',
    help: 'Age of the newest row of a view by its event time, of those that this process has written',
    labelNames: ['view'],
    registers,
    collect() {
      for (const [view, newestMs] of newestRows) this.set({ view }, (systemClock.now() - newestMs) / 1_000);
    },
  });
  return {
    registry,
    processed: new Counter({
      name: 'events_processed_total',
      help: 'Usable events read for the feature views, each once however many views it is in and whatever becomes of it there; neither repeated nor too late',
      registers,
    }),
    failed: new Counter({
      name: 'events_failed_total',
      help: 'Events that went to the dead-letter queue',
      labelNames: ['reason'],
      registers,
    }),
    computationSeconds: new Histogram({
      name: 'feature_computation_seconds',
      help: 'Time to compute the feature row of one event',
      buckets: [0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1],
      registers,
    }),
    decayed: new Counter({
      name: 'feature_rows_decayed_total',
      help: 'Rows written because events left a window or a session ran out',
      registers,
    }),
    violations: new Counter({
      name: 'data_quality_violations_total',
      help: 'Rows of events that break a rule of their view',
      labelNames: ['view', 'rule', 'action'],
      registers,
    }),
    late: new Counter({
      name: 'pipeline_late_events_total',
      help: 'Events behind the watermark of their partition; they count',
      registers,
    }),
    corrected: new Counter({
      name: 'feature_rows_corrected_total',
      help: 'Rows emitted again because an event of before their time arrived later',
      registers,
    }),
    forgottenIds: new Counter({
      name: 'pipeline_deduplication_ids_forgotten_total',
      help: 'Event ids dropped because an entity has more than pipeline.deduplication.maxIdsPerEntity of them, although an event with them could still arrive',
      labelNames: ['view'],
      registers,
    }),
    uncheckedIds: new Counter({
      name: 'pipeline_deduplication_unchecked_total',
      help: 'Events that were counted without knowing whether they repeat one whose id was dropped',
      labelNames: ['view'],
      registers,
    }),
    events: new Counter({
      name: 'feature_view_events_total',
      help: 'Events that reached a view, by what became of them: computed and then written or refused (by a quality rule), late, duplicate, failed, event_id_conflict, view_stopped, erased',
      labelNames: ['view', 'outcome'],
      registers,
    }),
    failures: new Counter({
      name: 'feature_failures_total',
      help: 'Rows that were not computed because the function of a feature threw or gave a value of another type than declared',
      labelNames: ['view', 'feature'],
      registers,
    }),
    stoppedViews: new Gauge({
      name: 'feature_view_stopped',
      help: '1 while a view computes nothing because its features failed for too many events',
      labelNames: ['view'],
      registers,
    }),
    duplicates: new Counter({
      name: 'pipeline_duplicate_events_total',
      help: 'Events whose event_id had been seen',
      registers,
    }),
    endToEndSeconds: new Histogram({
      name: 'pipeline_end_to_end_seconds',
      help: 'From received at the gateway to readable in the stores',
      buckets: LATENCY_BUCKETS_SECONDS,
      registers,
    }),
    newestRows,
    onEndToEnd: () => {},
  };
}
