import type { Dashboard, Panel, Query } from './dashboard.ts';

// The dashboards of the platform. `npm run dashboards` writes them as JSON, which Grafana is provisioned with.

const QUANTILES = [0.5, 0.95, 0.99];

/** Quantiles of a histogram, over five minutes. */
const quantiles = (metric: string, { by = '', where = '' } = {}): readonly Query[] =>
  QUANTILES.map((q) => ({
    expr: `histogram_quantile(${q}, sum by (le${by === '' ? '' : `, ${by}`}) (rate(${metric}_bucket${where}[5m])))`,
    legend: `p${q * 100}${by === '' ? '' : ` {{${by}}}`}`,
  }));

const rate = (metric: string, by: string, where = ''): Query => ({
  expr: `sum by (${by}) (rate(${metric}${where}[5m]))`,
  legend: `{{${by}}}`,
});

const eventsPerSecond: Panel = {
  title: 'Events a second',
  unit: 'eps',
  queries: [
    { expr: 'sum(rate(events_accepted_total[5m]))', legend: 'accepted' },
    { expr: 'sum(rate(events_processed_total[5m]))', legend: 'processed' },
    { expr: 'platform:dead_letters:rate5m', legend: 'dead letters' },
  ],
};
const featureLatency: Panel = {
  ...{ title: 'Feature latency', unit: 's', queries: quantiles('feature_computation_seconds') },
  description: 'Time to compute the features of one event',
};
const endToEnd: Panel = {
  ...{
    title: 'From event to features',
    unit: 's',
    thresholds: [0.1, 1],
    queries: quantiles('pipeline_end_to_end_seconds'),
  },
  description: 'From received at the gateway to readable in the stores',
};
const cacheHits: Panel = {
  ...{ title: 'Cache hits', unit: 'percentunit' },
  queries: [{ expr: 'platform:feature_cache_hits:ratio_rate5m', legend: 'of reads by entity' }],
};
const errorRate: Panel = {
  ...{ title: 'Requests that fail', unit: 'percentunit', thresholds: [0.001, 0.0144] },
  queries: [
    {
      expr: 'service:http_errors:ratio_rate5m or sum by (service) (rate(http_requests_total[5m])) * 0',
      legend: '{{service}}',
    },
  ],
};
const variants: Panel = {
  ...{ title: 'Variants of experiments', unit: 'reqps', isStacked: true },
  queries: [{ ...rate('ab_variant_assignments', 'variant'), mayBeEmpty: true }],
};
const driftedColumns: Panel = {
  ...{ title: 'Drifted columns', unit: 'short', kind: 'stat', thresholds: [1, 3] },
  queries: [{ expr: 'sum by (model) (drift_detected)', legend: '{{model}}' }],
};
const predictionsPerSecond: Panel = {
  ...{ title: 'Predictions a second', unit: 'ops', isStacked: true },
  queries: [
    {
      expr: 'sum by (model, version, variant) (rate(predictions_total[5m]))',
      legend: '{{model}} {{version}} {{variant}}',
    },
  ],
};
const predictionLatency: Panel = {
  ...{ title: 'Prediction latency', unit: 's', thresholds: [0.05, 0.1] },
  queries: quantiles('prediction_latency_seconds', { where: '{route="/predict"}' }),
};
const firingAlerts: Panel = {
  ...{ title: 'Alerts', unit: 'short', kind: 'table' },
  queries: [{ expr: 'sum by (alertname, severity, kind) (ALERTS{alertstate="firing"})', legend: '', mayBeEmpty: true }],
};
const unusual: Panel = {
  ...{ title: 'Unusual signals', unit: 'short', thresholds: [3, 5] },
  queries: [{ expr: 'platform:signal:deviations', legend: '{{signal}}', mayBeEmpty: true }],
};
const up: Panel = {
  ...{ title: 'Processes', unit: 'short', kind: 'stat' },
  queries: [{ expr: 'sum by (job) (up{job=~"gateway|pipeline|features|serving|monitor"})', legend: '{{job}}' }],
};
const memory: Panel = {
  ...{ title: 'Memory', unit: 'bytes', thresholds: [1.5e9, 1.8e9] },
  queries: [{ expr: 'sum by (job, instance) (process_resident_memory_bytes)', legend: '{{job}} {{instance}}' }],
};
const cpu: Panel = {
  ...{ title: 'CPU', unit: 'percentunit' },
  queries: [{ expr: 'sum by (job, instance) (rate(process_cpu_seconds_total[5m]))', legend: '{{job}} {{instance}}' }],
};
const eventLoop: Panel = {
  ...{ title: 'Event loop, p99', unit: 's', thresholds: [0.1, 0.25] },
  queries: [{ expr: 'max by (job, instance) (nodejs_eventloop_lag_p99_seconds)', legend: '{{job}} {{instance}}' }],
};

const requestsOf = (service: string): Panel => ({
  ...{ title: 'Requests a second', unit: 'reqps', isStacked: true },
  queries: [
    {
      expr: `sum by (route, status) (rate(http_requests_total{service="${service}"}[5m]))`,
      legend: '{{route}} {{status}}',
    },
  ],
});

const overview: Dashboard = {
  uid: 'headwater-overview',
  title: 'headwater: overview',
  rows: [
    { title: 'Now', panels: [up, firingAlerts, driftedColumns, unusual] },
    { title: 'Events and features', panels: [eventsPerSecond, featureLatency, cacheHits] },
    { title: 'Serving', panels: [predictionsPerSecond, predictionLatency, errorRate, variants] },
    { title: 'Machines', panels: [memory, cpu, eventLoop] },
  ],
};

const pipeline: Dashboard = {
  uid: 'headwater-pipeline',
  title: 'headwater: pipeline',
  rows: [
    {
      title: 'How far behind',
      panels: [
        {
          ...{ title: 'Records that wait', unit: 'short', thresholds: [1_000, 10_000] },
          queries: [{ expr: 'sum by (job) (pipeline_backlog_records)', legend: '{{job}}' }],
        },
        {
          ...{ title: 'Watermark behind now', unit: 's', thresholds: [60, 120] },
          queries: [{ expr: 'max by (job) (pipeline_watermark_lag_seconds)', legend: '{{job}}' }],
        },
        endToEnd,
        {
          ...{ title: 'Records that wait, by partition', unit: 'short' },
          queries: [{ expr: 'sum by (topic, partition) (source_lag_records)', legend: '{{topic}} {{partition}}' }],
        },
      ],
    },
    {
      title: 'Work',
      panels: [
        { title: 'Elements a second', unit: 'eps', queries: [rate('pipeline_elements_total', 'transform')] },
        { title: 'Bundles', unit: 's', queries: quantiles('pipeline_bundle_seconds') },
        { title: 'Snapshots', unit: 's', queries: quantiles('pipeline_snapshot_seconds') },
        {
          ...{ title: 'Failed bundles', unit: 'ops' },
          queries: [{ expr: 'sum(rate(pipeline_bundle_failures_total[5m]))', legend: 'done again' }],
        },
      ],
    },
    {
      title: 'Data',
      panels: [
        {
          title: 'Refused at the gateway',
          unit: 'eps',
          queries: [{ ...rate('events_rejected_total', 'reason'), mayBeEmpty: true }],
        },
        {
          title: 'Dead letters of the pipeline',
          unit: 'eps',
          queries: [{ ...rate('events_failed_total', 'reason'), mayBeEmpty: true }],
        },
        {
          title: 'Broken rules',
          unit: 'eps',
          queries: [{ ...rate('data_quality_violations_total', 'rule'), mayBeEmpty: true }],
        },
        {
          ...{ title: 'Late and repeated events', unit: 'eps' },
          queries: [
            { expr: 'sum(rate(pipeline_late_events_total[5m]))', legend: 'late' },
            { expr: 'sum(rate(pipeline_duplicate_events_total[5m]))', legend: 'repeated' },
          ],
        },
        {
          ...{ title: 'Age of the newest row', unit: 's', thresholds: [600, 3_600] },
          queries: [{ expr: 'max by (view) (feature_freshness_seconds)', legend: '{{view}}' }],
        },
      ],
    },
  ],
};

const serving: Dashboard = {
  uid: 'headwater-serving',
  title: 'headwater: serving',
  rows: [
    {
      title: 'Requests',
      panels: [
        requestsOf('serving'),
        predictionLatency,
        {
          title: 'Refused',
          unit: 'reqps',
          queries: [{ ...rate('requests_refused_total', 'reason'), mayBeEmpty: true }],
        },
      ],
    },
    {
      title: 'Models',
      panels: [
        predictionsPerSecond,
        {
          ...{ title: 'Versions that answer', unit: 'short', kind: 'table' },
          queries: [{ expr: 'sum by (model, version, variant) (model_info)', legend: '' }],
        },
        { title: 'Loading a version', unit: 's', queries: quantiles('model_load_seconds', { by: 'model' }) },
        variants,
        {
          ...{ title: 'Canaries', unit: 'short' },
          queries: [
            { expr: 'max by (model) (canary_percent)', legend: '{{model}}, percent', mayBeEmpty: true },
            {
              expr: 'sum by (model) (increase(canary_rollbacks_total[1h]))',
              legend: '{{model}}, taken back',
              mayBeEmpty: true,
            },
          ],
        },
        {
          title: 'In the shadow',
          unit: 'ops',
          queries: [{ ...rate('shadow_rows_total', 'outcome'), mayBeEmpty: true }],
        },
      ],
    },
    {
      title: 'What it needs',
      panels: [
        cacheHits,
        {
          ...{ title: 'Circuits that are open', unit: 'short', thresholds: [1, 1] },
          queries: [{ expr: 'max by (job, target) (circuit_open)', legend: '{{job}} {{target}}', mayBeEmpty: true }],
        },
        {
          ...{ title: 'Dependencies and jobs that are down', unit: 'short', thresholds: [1, 1] },
          queries: [
            { expr: 'max by (job, name) (health_state{state="down"})', legend: '{{job}} {{name}}', mayBeEmpty: true },
          ],
        },
        {
          ...{ title: 'Refill of the online store', unit: 'percentunit' },
          queries: [{ expr: 'max by (job) (online_store_warmup_share)', legend: '{{job}}', mayBeEmpty: true }],
        },
        {
          ...{ title: 'Read from history', unit: 'ops' },
          queries: [{ expr: 'sum by (job) (rate(online_store_fallbacks_total[5m]))', legend: '{{job}}' }],
        },
        {
          ...{ title: 'Predictions that were not logged', unit: 'ops' },
          queries: [{ expr: 'sum by (job) (rate(prediction_log_dropped_total[5m]))', legend: '{{job}}' }],
        },
      ],
    },
  ],
};

const drift: Dashboard = {
  uid: 'headwater-drift',
  title: 'headwater: drift and quality of models',
  rows: [
    {
      title: 'Against the training set',
      panels: [
        driftedColumns,
        {
          ...{ title: 'Population stability', unit: 'short', thresholds: [0.1, 0.2] },
          queries: [{ expr: 'max by (model, column) (drift_statistic{test="psi"})', legend: '{{model}} {{column}}' }],
        },
        {
          ...{ title: 'Kolmogorov-Smirnov', unit: 'short' },
          queries: [{ expr: 'max by (model, column) (drift_statistic{test="ks"})', legend: '{{model}} {{column}}' }],
        },
        {
          ...{ title: "Strings: Cramér's V", unit: 'short' },
          queries: [
            { expr: 'max by (model, column) (drift_statistic{test="cramers_v"})', legend: '{{model}} {{column}}' },
          ],
        },
        {
          ...{ title: 'Missing values', unit: 'percentunit' },
          queries: [{ expr: 'max by (model, column) (model_input_null_share)', legend: '{{model}} {{column}}' }],
        },
        {
          ...{ title: 'Beyond the range of training', unit: 'percentunit' },
          queries: [
            { expr: 'max by (model, column) (model_input_out_of_range_share)', legend: '{{model}} {{column}}' },
          ],
        },
      ],
    },
    {
      title: 'By what came true',
      panels: [
        {
          ...{ title: 'Metrics by feedback', unit: 'short' },
          queries: [
            { expr: 'model_live_metric', legend: '{{model}} {{version}} {{metric}}', mayBeEmpty: true },
            {
              expr: 'model_reference_metric',
              legend: '{{model}} {{version}} {{metric}}, when judged',
              mayBeEmpty: true,
            },
          ],
        },
        {
          ...{ title: 'Rows looked at', unit: 'short' },
          queries: [{ expr: 'max by (model, version) (monitored_rows)', legend: '{{model}} {{version}}' }],
        },
        {
          ...{ title: 'Values that are the same in both stores', unit: 'percentunit' },
          queries: [{ expr: 'min by (view) (feature_store_consistency_share)', legend: '{{view}}', mayBeEmpty: true }],
        },
      ],
    },
  ],
};

const gateway: Dashboard = {
  uid: 'headwater-gateway',
  title: 'headwater: gateway and feature API',
  rows: [
    {
      title: 'Gateway',
      panels: [
        requestsOf('gateway'),
        { title: 'Time to answer', unit: 's', queries: quantiles('gateway_request_seconds') },
        {
          ...{ title: 'Waits on disk', unit: 'short', thresholds: [1, 1_000] },
          queries: [{ expr: 'max by (instance) (spool_records)', legend: '{{instance}}', mayBeEmpty: true }],
        },
      ],
    },
    {
      title: 'Feature API',
      panels: [requestsOf('features'), cacheHits],
    },
  ],
};

const workflows: Dashboard = {
  uid: 'headwater-workflows',
  title: 'headwater: workflows and retraining',
  rows: [
    {
      title: 'Runs',
      panels: [
        {
          ...{ title: 'Runs that run or wait', unit: 'short', isStacked: true },
          queries: [
            {
              expr: 'max by (workflow, status) (workflow_runs_active)',
              legend: '{{workflow}} {{status}}',
              mayBeEmpty: true,
            },
          ],
        },
        {
          ...{ title: 'Runs that ended, an hour', unit: 'short' },
          queries: [
            {
              expr: 'sum by (workflow, status) (increase(workflow_runs_total[1h]))',
              legend: '{{workflow}} {{status}}',
              mayBeEmpty: true,
            },
          ],
        },
        {
          ...{ title: 'Rows written by tasks, a day', unit: 'short' },
          queries: [
            {
              expr: 'sum by (dataset) (increase(workflow_written_rows_total[1d]))',
              legend: '{{dataset}}',
              mayBeEmpty: true,
            },
          ],
        },
        {
          ...{ title: 'Oldest step and run that wait', unit: 's', thresholds: [30, 300] },
          queries: [
            { expr: 'max(workflow_due_age_seconds)', legend: 'steps', mayBeEmpty: true },
            { expr: 'max by (workflow) (workflow_queue_age_seconds)', legend: '{{workflow}} queued', mayBeEmpty: true },
          ],
        },
        {
          ...{ title: 'Schedules that are late', unit: 's', thresholds: [60, 600] },
          queries: [
            {
              expr: 'max by (schedule) (workflow_schedule_lateness_seconds)',
              legend: '{{schedule}}',
              mayBeEmpty: true,
            },
          ],
        },
      ],
    },
    {
      title: 'Retraining',
      panels: [
        {
          ...{ title: 'Triggers, a day', unit: 'short' },
          queries: [
            {
              expr: 'sum by (model, trigger, outcome) (increase(retraining_triggers_total[1d]))',
              legend: '{{model}} {{trigger}}: {{outcome}}',
              mayBeEmpty: true,
            },
          ],
        },
        {
          ...{ title: 'Performance: by outcomes, estimated, after training', unit: 'short' },
          queries: [
            {
              expr: 'model_live_metric{metric="auc"}',
              legend: '{{model}} {{version}} by outcomes',
              mayBeEmpty: true,
            },
            {
              expr: 'model_estimated_metric{metric="auc"}',
              legend: '{{model}} {{version}} estimated',
              mayBeEmpty: true,
            },
            {
              expr: 'model_reference_metric{metric="auc"}',
              legend: '{{model}} {{version}} after training',
              mayBeEmpty: true,
            },
          ],
        },
      ],
    },
  ],
};

export const DASHBOARDS: readonly Dashboard[] = [overview, gateway, pipeline, serving, drift, workflows];
