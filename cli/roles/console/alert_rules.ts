import { MINUTE_MS } from '#kernel/time';

// What the console judges by itself where no Prometheus is configured: the rules of monitoring/prometheus/rules/alerts.yml that need no more than
// the metrics of this process. Names, severities and times are theirs; a test compares them.

/** A value of a metric, with the labels that a rule groups by. */
type Labels = Readonly<Record<string, string>>;

interface Rule {
  readonly name: string;
  readonly severity: 'critical' | 'warning';
  readonly kind: 'failure' | 'data_quality' | 'model' | 'infrastructure';
  readonly metric: string;
  /** Values whose labels do not match are left out. */
  readonly where?: (labels: Labels) => boolean;
  /** Labels that make alerts of their own; the largest value of each counts. */
  readonly by: readonly string[];
  /** How long it must hold before it fires, ms. */
  readonly forMs: number;
  readonly summary: (labels: Labels, value: number) => string;
}

/** A value that is beyond a bound. */
export interface GaugeRule extends Rule {
  readonly of: 'gauge';
  readonly isBroken: (value: number) => boolean;
}

/** A counter that has grown within a window by more than a bound. */
export interface IncreaseRule extends Rule {
  readonly of: 'increase';
  readonly windowMs: number;
  readonly most: number;
}

export type AlertRule = GaugeRule | IncreaseRule;

const above = (bound: number) => (value: number) => value > bound;
const problem = (names: RegExp, is: boolean) => (labels: Labels) => names.test(labels.problem ?? '') === is;
const FULL = /^(full|out_of_memory)$/;
const OTHER_RULES = /^(read_only|full|out_of_memory)$/;

export const ALERT_RULES: readonly AlertRule[] = [
  {
    ...{ name: 'DependencyDown', severity: 'critical', kind: 'infrastructure', of: 'gauge', forMs: MINUTE_MS },
    ...{ metric: 'dependency_problem', by: ['dependency', 'problem'], isBroken: above(0) },
    where: problem(OTHER_RULES, false),
    summary: ({ dependency, problem: found }) => `the ${dependency} is down (${found})`,
  },
  {
    ...{ name: 'StoreReadOnly', severity: 'critical', kind: 'infrastructure', of: 'gauge', forMs: MINUTE_MS },
    ...{ metric: 'dependency_problem', by: ['dependency'], isBroken: above(0), where: problem(/^read_only$/, true) },
    summary: ({ dependency }) => `the ${dependency} takes no writes, it is read-only`,
  },
  {
    ...{ name: 'StoreFull', severity: 'critical', kind: 'infrastructure', of: 'gauge', forMs: MINUTE_MS },
    ...{ metric: 'dependency_problem', by: ['dependency'], isBroken: above(0), where: problem(FULL, true) },
    summary: ({ dependency }) => `the ${dependency} takes no more`,
  },
  {
    ...{ name: 'CircuitOpen', severity: 'critical', kind: 'infrastructure', of: 'gauge', forMs: MINUTE_MS },
    ...{ metric: 'circuit_open', by: ['target'], isBroken: above(0) },
    summary: ({ target }) => `calls of ${target} are given up for now`,
  },
  {
    ...{ name: 'BrokerAway', severity: 'critical', kind: 'infrastructure', of: 'gauge', forMs: 2 * MINUTE_MS },
    ...{ metric: 'spool_records', by: [], isBroken: above(0) },
    summary: (_, value) => `${value} events wait on the disk of the gateway`,
  },
  {
    ...{ name: 'JobDown', severity: 'critical', kind: 'failure', of: 'gauge', forMs: 2 * MINUTE_MS },
    ...{ metric: 'health_state', by: ['name'], isBroken: above(0) },
    where: ({ kind, state }) => kind === 'job' && state === 'down',
    summary: ({ name }) => `the job ${name} does not do its work`,
  },
  {
    ...{ name: 'PartitionStalled', severity: 'critical', kind: 'failure', of: 'gauge', forMs: MINUTE_MS },
    ...{ metric: 'source_stalled_seconds', by: ['topic', 'partition'], isBroken: above(60) },
    summary: ({ topic, partition }, value) => `${topic}[${partition}] has not moved for ${Math.round(value)} s`,
  },
  {
    ...{ name: 'SinkRefuses', severity: 'critical', kind: 'failure', of: 'gauge', forMs: MINUTE_MS },
    ...{ metric: 'delivery_failing_seconds', by: ['target'], isBroken: above(60) },
    summary: ({ target }, value) => `writing to ${target} has failed for ${Math.round(value)} s`,
  },
  {
    ...{ name: 'FeatureViewStopped', severity: 'critical', kind: 'failure', of: 'gauge', forMs: 0 },
    ...{ metric: 'feature_view_stopped', by: ['view'], isBroken: above(0) },
    summary: ({ view }) => `view ${view} computes nothing: its features failed for too many events`,
  },
  {
    ...{ name: 'PipelineRestarts', severity: 'warning', kind: 'failure', of: 'increase', forMs: 0 },
    ...{ metric: 'pipeline_bundle_failures_total', by: [], windowMs: 10 * MINUTE_MS, most: 3 },
    summary: (_, value) => `bundles failed ${value} times in ten minutes`,
  },
  {
    ...{ name: 'SourceRecordsLost', severity: 'critical', kind: 'data_quality', of: 'increase', forMs: 0 },
    ...{ metric: 'source_gaps_total', by: ['topic'], windowMs: 15 * MINUTE_MS, most: 0 },
    summary: ({ topic }) => `records of ${topic} were deleted before they were read`,
  },
  {
    ...{ name: 'DeadLettersLost', severity: 'critical', kind: 'failure', of: 'increase', forMs: 0 },
    ...{ metric: 'dead_letters_lost_total', by: [], windowMs: 10 * MINUTE_MS, most: 0 },
    summary: (_, value) => `${value} dead letters could not be kept anywhere`,
  },
  {
    ...{ name: 'ContractBroken', severity: 'warning', kind: 'data_quality', of: 'gauge', forMs: 10 * MINUTE_MS },
    ...{ metric: 'view_contract_broken', by: ['view', 'term', 'feature'], isBroken: above(0) },
    summary: ({ view, term, feature }) => `${view} breaks its contract: ${term} ${feature ?? ''}`.trim(),
  },
  {
    ...{ name: 'StoresDiffer', severity: 'warning', kind: 'data_quality', of: 'gauge', forMs: 10 * MINUTE_MS },
    ...{ metric: 'feature_store_consistency_share', by: ['view'], isBroken: (value) => value < 0.99 },
    summary: ({ view }, value) =>
      `online and offline store agree on ${Math.round(value * 100)} % of ${view || 'the rows'}`,
  },
  {
    ...{ name: 'ModelRefused', severity: 'warning', kind: 'model', of: 'increase', forMs: 0 },
    ...{ metric: 'model_load_failures_total', by: ['model'], windowMs: 15 * MINUTE_MS, most: 0 },
    summary: ({ model }) => `a version of ${model} was promoted and could not be taken; the one before answers`,
  },
  {
    ...{ name: 'CanaryTakenBack', severity: 'warning', kind: 'model', of: 'increase', forMs: 0 },
    ...{ metric: 'canary_rollbacks_total', by: ['model'], windowMs: 15 * MINUTE_MS, most: 0 },
    summary: ({ model }) => `a canary of ${model} has broken a guardrail`,
  },
  {
    ...{ name: 'PredictionsNotLogged', severity: 'warning', kind: 'data_quality', of: 'increase', forMs: 0 },
    ...{ metric: 'prediction_log_dropped_total', by: [], windowMs: 10 * MINUTE_MS, most: 0 },
    summary: (_, value) => `${value} predictions were answered and are not in the log`,
  },
  {
    ...{ name: 'InputsDrifted', severity: 'warning', kind: 'model', of: 'gauge', forMs: 0 },
    ...{ metric: 'drift_detected', by: ['model', 'version'], isBroken: above(0) },
    where: ({ kind }) => kind === 'feature',
    summary: ({ model, version }) => `inputs of ${model} ${version} are not distributed as they were in training`,
  },
  {
    ...{ name: 'PredictionsDrifted', severity: 'warning', kind: 'model', of: 'gauge', forMs: 0 },
    ...{ metric: 'drift_detected', by: ['model', 'version'], isBroken: above(0) },
    where: ({ kind }) => kind === 'prediction',
    summary: ({ model, version }) => `${model} ${version} predicts otherwise than it did at first`,
  },
  {
    ...{ name: 'WorkflowRunsFailing', severity: 'warning', kind: 'failure', of: 'increase', forMs: 0 },
    ...{ metric: 'workflow_runs_total', by: ['workflow'], windowMs: 30 * MINUTE_MS, most: 0 },
    where: ({ status }) => status === 'failed' || status === 'timed_out',
    summary: ({ workflow }, value) => `${value} runs of ${workflow} have failed in half an hour`,
  },
];
