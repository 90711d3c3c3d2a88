import type { LogLevel } from '#monitoring/log';
import type { BATCH_FORMATS as BatchFormats } from '#serving/batch/score_files';

// Values of options, apart from the modules that do the work: --help must not load those.

export const ROLES = ['gateway', 'pipeline', 'features', 'serving', 'monitor'] as const;
export type Role = (typeof ROLES)[number];

/** Where roles listen: the environment variable that says it, where they do without, and the part of the configuration that is theirs. */
export const PORTS = {
  gateway: { variable: 'GATEWAY_PORT', usual: 8_080, settings: 'gateway' },
  pipeline: { variable: 'PIPELINE_PORT', usual: 8_082, settings: 'pipeline' },
  features: { variable: 'FEATURE_API_PORT', usual: 8_083, settings: 'featureApi' },
  serving: { variable: 'API_PORT', usual: 8_000, settings: 'serving' },
  monitor: { variable: 'MONITOR_PORT', usual: 8_084, settings: 'monitor' },
} as const satisfies Record<Role, { readonly variable: string; readonly usual: number; readonly settings: string }>;

export const RUNNERS = ['embedded', 'flink', 'prism', 'dataflow', 'portable'] as const;
export type Runner = (typeof RUNNERS)[number];

/** Runners whose jobs `headwater jobs` operates. */
export const JOB_RUNNERS = ['flink'] as const satisfies readonly Runner[];
export type JobRunner = (typeof JOB_RUNNERS)[number];

/** Where the embedded runner keeps the state of DoFns. */
export const STATES = ['heap', 'disk'] as const;
/** Mebibytes of hot keys that stay in memory where state is on disk. */
export const DEFAULT_STATE_CACHE_MB = 256;

/** Brokers that test data can go to; `memory` is the old name of `disk_log`. */
export const TARGETS = ['kafka', 'pubsub', 'kinesis', 'disk_log', 'memory'] as const;

/** Functions of AWS Lambda: endpoints, and what a stream triggers. */
export const LAMBDA_FUNCTIONS = ['predict', 'ingest', 'features', 'trigger'] as const;

/** Levels of the log, from the most detailed one. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const satisfies readonly LogLevel[];

/** Formats of the files that batch-predict writes. */
export const BATCH_FORMATS = ['parquet', 'jsonl', 'csv'] as const satisfies typeof BatchFormats;

/** Runtimes that bundles of models are made for. */
export const BUNDLE_RUNTIMES = ['node', 'web'] as const;
