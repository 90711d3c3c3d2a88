// What options may be, apart from the modules that do the work: --help must not load those.

export const ROLES = ['gateway', 'pipeline', 'features', 'serving', 'monitor'] as const;
export type Role = (typeof ROLES)[number];

/** Where roles listen: the environment variable that says it, and where they do without. */
export const PORTS: Readonly<Record<Role, { readonly variable: string; readonly usual: number }>> = {
  gateway: { variable: 'GATEWAY_PORT', usual: 8_080 },
  pipeline: { variable: 'PIPELINE_PORT', usual: 8_082 },
  features: { variable: 'FEATURE_API_PORT', usual: 8_083 },
  serving: { variable: 'API_PORT', usual: 8_000 },
  monitor: { variable: 'MONITOR_PORT', usual: 8_084 },
};

export const RUNNERS = ['embedded', 'flink', 'prism', 'dataflow', 'portable'] as const;
export type Runner = (typeof RUNNERS)[number];

/** Brokers that test data can go to. */
export const TARGETS = ['kafka', 'pubsub', 'kinesis', 'memory'] as const;

/** Doors that run as functions of AWS Lambda. */
export const LAMBDA_FUNCTIONS = ['predict', 'ingest', 'features'] as const;
