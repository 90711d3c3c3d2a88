// What options may be, apart from the modules that do the work: --help must not load those.

export const ROLES = ['gateway', 'pipeline', 'features', 'serving'] as const;
export type Role = (typeof ROLES)[number];

export const RUNNERS = ['embedded', 'flink', 'prism', 'dataflow', 'portable'] as const;
export type Runner = (typeof RUNNERS)[number];

/** Brokers that test data can go to. */
export const TARGETS = ['kafka', 'pubsub', 'kinesis', 'memory'] as const;
