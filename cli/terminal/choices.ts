// What options may be, apart from the modules that do the work: --help must not load those.

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

/** Brokers that test data can go to. */
export const TARGETS = ['kafka', 'pubsub', 'kinesis', 'memory'] as const;

/** Doors that run as functions of AWS Lambda. */
export const LAMBDA_FUNCTIONS = ['predict', 'ingest', 'features'] as const;
