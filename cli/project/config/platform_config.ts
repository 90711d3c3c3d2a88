import { z } from 'zod';
import { duration } from '#configs/duration';
import { type Environment, environment } from '#configs/environment';
import { ConfigError } from '#configs/errors';
import { type EnvironmentVariable, loadConfig } from '#configs/load';
import { brokerConfigSchema } from '#connectors/catalog';
import { gatewayConfigSchema } from '#connectors/gateway/config';
import { accessSettings } from '#connectors/http/config';
import {
  cacheConfigSchema,
  featureApiConfigSchema,
  offlineStoreConfigSchema,
  onlineStoreConfigSchema,
} from '#feature_store/config';
import { featuresConfigSchema } from '#feature_store/definitions/sets/selection';
import { assetPath } from '#kernel/project_root';
import { isSecretName, rememberSecrets, secretsIn } from '#kernel/secrets';
import type { Duration } from '#kernel/times/duration';
import { tlsSchema } from '#monitoring/http/tls_config';
import { LOG_LEVELS } from '#monitoring/log';
import { metricsSchema } from '#monitoring/metric_exporters';
import { MOST_IDS } from '#pipelines/transforms/recent_ids';
import { registryConfigSchema } from '#registry/config';
import { gatesConfigSchema } from '#registry/lifecycle/gates_config';
import { modelNameSchema } from '#registry/names';
import { trainingConfigSchema } from '#registry/trainers/training_config';
import { servingConfigSchema } from '#serving/config';
import { workflowsConfigSchema } from '#workflows/config';
import { namespaceSchema, withNamespace } from '../namespace.ts';
import { checkProduction, waiverSchema } from '../production.ts';
import { sharedAccessSchema, withSharedAccess } from '../shared_access.ts';
import { cronSchema } from '../workflow_parts.ts';
import { type ModelDefinition, settingsOfModels } from './define_model.ts';
import { monitorConfigSchema } from './monitor_config.ts';
import { retrainingSchema } from './retraining_config.ts';

const address = (port: number) => ({
  host: z.string().default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(port),
});

const topic = z.string().regex(/^[A-Za-z0-9._-]+$/);
/** A folder, or s3://bucket/prefix, that files are written below. */
const location = z
  .string()
  .min(1)
  .regex(/^[^*?{}[\]()!]+$/, 'must hold no characters of patterns');

/** The whole configuration: each part owns its schema, this puts them together. */
export const platformConfigSchema = z.strictObject({
  debug: z.boolean(),
  /** Refuses to start with what only development may have (configs/production.yaml). */
  production: z.boolean().default(false),
  /** Of what production refuses, what is taken here all the same, by the name in the refusal: `offlineStore.tls`. */
  productionWaivers: z.array(waiverSchema).default([]),
  log: z.strictObject({ level: z.enum(LOG_LEVELS) }),
  dataDirectory: z.string().min(1),
  /** Callers of every listener, besides those of one listener alone. */
  access: sharedAccessSchema.prefault({}),
  /** Separates environments that share servers: the prefix of topics, consumer groups and Redis keys, and the PostgreSQL schema. */
  namespace: namespaceSchema.optional(),
  /** Of every listener that names none of its own. */
  tls: tlsSchema.optional(),
  /** Something in front ends TLS, and only it reaches the listeners: production takes plain HTTP then. */
  tlsEndsInFront: z.boolean().default(false),
  broker: brokerConfigSchema,
  topics: z.strictObject({
    partitions: z.int().positive(),
    rawEvents: topic,
    featureEvents: topic,
    deadLetters: topic,
    predictions: topic,
  }),
  deadLetters: z
    .strictObject({
      /** Where letters go that are too large for their topic: a folder, or s3://bucket/prefix. Default: dead-letters in the data directory. */
      directory: z.string().min(1).optional(),
    })
    .prefault({}),
  archive: z
    .strictObject({
      /** Keeps every accepted event as Parquet by type and date: the history of every source that declares no other. */
      enabled: z.boolean().default(false),
      /** A folder, or s3://bucket/prefix. Default: archive in the data directory. */
      directory: z.string().min(1).optional(),
      /** Events are in files after so long at most. */
      flushEvery: duration.default('30s' as Duration),
      /** Days of events that are older are removed. */
      keep: duration.default('400d' as Duration),
    })
    .prefault({}),
  /** One place for what the platform makes: training sets, models, logs, the catalogue of schemas. */
  objectStore: z
    .strictObject({
      /** A folder, or s3://bucket/prefix. Without it nothing is kept there. */
      directory: location.optional(),
      /** Logs of days that are older are removed. */
      keepLogs: duration.default('30d' as Duration),
    })
    .prefault({}),
  audit: z
    .strictObject({
      /** Keeps signed hashes of the audit trail outside the database; without it only `headwater audit verify --head` finds a trail that was written anew. */
      anchor: z
        .strictObject({
          /** A folder, or s3://bucket/prefix, that users of the database cannot write. */
          directory: location,
          /** PEM of an Ed25519 key: a private one signs, a public one verifies. */
          keyFile: z.string().min(1),
          /** Public keys that have signed before. */
          previousKeyFiles: z.array(z.string().min(1)).default([]),
          /** Entries are anchored after so long at most. */
          every: duration.default('10s' as Duration),
        })
        .optional(),
    })
    .prefault({}),
  /** Where `headwater backup` writes, and what. */
  backup: z
    .strictObject({
      /** A folder, or s3://bucket/prefix: on another machine than what is backed up. */
      directory: location.optional(),
      /** Encrypts backups: random bytes as text, such as of `openssl rand -base64 32`. Without it no backup can be read. */
      secret: z.string().min(32).optional(),
      /** Backups that are older are removed; the newest one stays. */
      keep: duration.default('30d' as Duration),
      /** Further folders, or s3://bucket/prefix, each with a name: `mlflow=/srv/mlflow/artifacts`. */
      folders: z.array(z.string().regex(/^[a-z][a-z0-9_-]*=.+$/, 'must be NAME=FOLDER')).default([]),
      /** When the platform backs itself up: the workflow `backup`. */
      schedule: cronSchema.optional(),
      /** When it restores the newest backup into a temporary folder and compares: the workflow `backup_drill`. */
      drill: cronSchema.optional(),
    })
    .refine(
      ({ schedule, drill, directory, secret }) =>
        (schedule === undefined && drill === undefined) || (directory !== undefined && secret !== undefined),
      'a schedule needs backup.directory (BACKUP_DIRECTORY) and backup.secret (BACKUP_SECRET)',
    )
    .prefault({}),
  /** Reports of models and data. */
  reports: z
    .strictObject({
      /** A folder, or s3://bucket/prefix; `{date}` is filled in. */
      out: z.string().min(1).optional(),
      /** How many days a report is of. */
      days: z.int().positive().max(366).default(7),
      /** When one is written: the workflow `report`. */
      schedule: cronSchema.optional(),
    })
    .refine(
      ({ schedule, out }) => schedule === undefined || out !== undefined,
      'a schedule needs reports.out (REPORTS_OUT)',
    )
    .prefault({}),
  onlineStore: onlineStoreConfigSchema,
  offlineStore: offlineStoreConfigSchema,
  cache: cacheConfigSchema,
  registry: registryConfigSchema,
  /** By model: what a version must fulfil to be promoted. */
  promotion: z.record(modelNameSchema, gatesConfigSchema).default({}),
  /** By model: how `headwater models train` trains it. */
  training: z.record(modelNameSchema, trainingConfigSchema).default({}),
  /** By model: the workflow that trains it again. */
  retraining: z.record(modelNameSchema, retrainingSchema).default({}),
  gateway: gatewayConfigSchema,
  pipeline: z.strictObject({
    ...address(8_082),
    ...accessSettings,
    tls: tlsSchema.optional(),
    group: z.string().min(1),
    snapshotIntervalMs: z.int().positive(),
    /** An event this much older than the newest is still in time, ms. */
    outOfOrderMs: z.int().nonnegative(),
    /** How old an event may be when it is received, ms: the gateway refuses older ones, and those of other producers go to the dead letters. */
    allowedLatenessMs: z.int().nonnegative(),
    /** A partition that has been read to the broker's end for so long no longer holds the watermark, ms. */
    idleAfterMs: z.int().positive(),
    deduplication: z
      .strictObject({
        /** Event ids that are kept of one entity and view at most; those of the oldest events are dropped beyond, counted and alarmed. */
        maxIdsPerEntity: z.int().min(1_000).default(MOST_IDS),
      })
      .prefault({}),
    /** Where reading continues when retention has deleted the records at its position; the gap is counted (`source_gaps_total`). */
    offsetOutOfRange: z.enum(['earliest', 'latest', 'fail']).default('fail'),
    /** `dead_letter` sets a batch that cannot be read aside with its bytes in base64, and continues after it. */
    unreadableBatches: z.enum(['fail', 'dead_letter']).default('fail'),
    /** When the features of a view fail for more than this share of its newest events, the view stops; the others continue. */
    failureLimit: z
      .strictObject({
        share: z.number().positive().max(1).default(0.5),
        /** So many events are looked at before that. */
        minEvents: z.int().positive().default(100),
      })
      .prefault({}),
    /** Ids of views that start again although they had stopped at the failure limit; without it, a view starts again when its definition changes. */
    resumedViews: z.array(z.string()).default([]),
  }),
  features: featuresConfigSchema,
  featureApi: featureApiConfigSchema,
  serving: servingConfigSchema,
  monitor: monitorConfigSchema,
  workflows: workflowsConfigSchema.prefault({}),
  metrics: metricsSchema.prefault({}),
  /** Where the console leads to for dashboards. */
  grafana: z
    .strictObject({ enabled: z.boolean().default(false), url: z.url().default('http://localhost:3000') })
    .prefault({}),
  health: z
    .strictObject({
      /** A partition or bundle of a job that does not move for so long is stalled: the role is not ready. */
      stalledAfter: duration.default('30s' as Duration),
    })
    .prefault({}),
  drainTimeoutMs: z.int().positive(),
});
export type PlatformConfig = z.infer<typeof platformConfigSchema>;

const onlyFor = (path: string, is: string, variable: EnvironmentVariable): EnvironmentVariable => ({
  ...variable,
  when: { path, is },
});
const postgres = (key: string, type: EnvironmentVariable['type']) =>
  onlyFor('offlineStore.kind', 'postgres', { path: `offlineStore.${key}`, type });
const redis = (key: string, type: EnvironmentVariable['type']) =>
  onlyFor('onlineStore.kind', 'redis', { path: `onlineStore.${key}`, type });
const kafka = (key: string, type: EnvironmentVariable['type']) =>
  onlyFor('broker.kind', 'kafka', { path: `broker.${key}`, type });
const mlflow = (key: string, type: EnvironmentVariable['type']) =>
  onlyFor('registry.kind', 'mlflow', { path: `registry.${key}`, type });

/** Environment variables by name; docs/configuration.md lists them. DATA_DIRECTORY is read by the YAML files themselves. */
export const ENVIRONMENT_VARIABLES: Readonly<Record<string, EnvironmentVariable>> = {
  DEBUG: { path: 'debug', type: 'boolean' },
  LOG_LEVEL: { path: 'log.level', type: 'string' },
  TLS_CERT_FILE: { path: 'tls.certFile', type: 'string' },
  TLS_KEY_FILE: { path: 'tls.keyFile', type: 'string' },
  TLS_ENDS_IN_FRONT: { path: 'tlsEndsInFront', type: 'boolean' },
  ACCESS_API_KEYS: { path: 'access.apiKeys', type: 'list' },
  KEYS_FILE: { path: 'access.keysFile', type: 'string' },
  CORS_ALLOWED_ORIGINS: { path: 'access.cors.allowedOrigins', type: 'list' },
  LISTEN_WITHOUT_KEYS: { path: 'access.withoutKeys', type: 'boolean' },
  NAMESPACE: { path: 'namespace', type: 'string' },
  PRODUCTION_WAIVERS: { path: 'productionWaivers', type: 'list' },
  KAFKA_BROKERS: kafka('brokers', 'list'),
  KAFKA_TLS: kafka('tls', 'boolean'),
  KAFKA_CA_FILE: kafka('tls.ca', 'string'),
  KAFKA_CERT_FILE: kafka('tls.cert', 'string'),
  KAFKA_KEY_FILE: kafka('tls.key', 'string'),
  KAFKA_SERVER_NAME: kafka('tls.serverName', 'string'),
  KAFKA_SASL_MECHANISM: kafka('sasl.mechanism', 'string'),
  KAFKA_SASL_USERNAME: kafka('sasl.username', 'string'),
  KAFKA_SASL_PASSWORD: kafka('sasl.password', 'string'),
  KAFKA_SASL_TOKEN_URL: kafka('sasl.tokenUrl', 'string'),
  KAFKA_SASL_CLIENT_ID: kafka('sasl.clientId', 'string'),
  KAFKA_SASL_CLIENT_SECRET: kafka('sasl.clientSecret', 'string'),
  KAFKA_SASL_SCOPE: kafka('sasl.scope', 'string'),
  KINESIS_REGION: onlyFor('broker.kind', 'kinesis', { path: 'broker.region', type: 'string' }),
  KINESIS_ENDPOINT: onlyFor('broker.kind', 'kinesis', { path: 'broker.endpoint', type: 'string' }),
  DYNAMODB_REGION: onlyFor('onlineStore.kind', 'dynamodb', { path: 'onlineStore.region', type: 'string' }),
  DYNAMODB_ENDPOINT: onlyFor('onlineStore.kind', 'dynamodb', { path: 'onlineStore.endpoint', type: 'string' }),
  DYNAMODB_TABLE_PREFIX: onlyFor('onlineStore.kind', 'dynamodb', { path: 'onlineStore.tablePrefix', type: 'string' }),
  PUBSUB_PROJECT_ID: onlyFor('broker.kind', 'pubsub', { path: 'broker.projectId', type: 'string' }),
  PUBSUB_EMULATOR_HOST: onlyFor('broker.kind', 'pubsub', { path: 'broker.emulator', type: 'string' }),
  DATABASE_HOST: postgres('host', 'string'),
  DATABASE_PORT: postgres('port', 'number'),
  DATABASE_NAME: postgres('database', 'string'),
  DATABASE_USER: postgres('user', 'string'),
  DATABASE_PASSWORD: postgres('password', 'string'),
  DATABASE_SSL_MODE: postgres('sslMode', 'string'),
  DATABASE_CA_FILE: postgres('caFile', 'string'),
  DATABASE_CERT_FILE: postgres('certFile', 'string'),
  DATABASE_KEY_FILE: postgres('keyFile', 'string'),
  REDIS_HOST: redis('host', 'string'),
  REDIS_PORT: redis('port', 'number'),
  REDIS_CLUSTER: redis('cluster', 'list'),
  REDIS_SENTINELS: redis('sentinel.nodes', 'list'),
  REDIS_SENTINEL_MASTER: redis('sentinel.master', 'string'),
  REDIS_SENTINEL_USERNAME: redis('sentinel.username', 'string'),
  REDIS_SENTINEL_PASSWORD: redis('sentinel.password', 'string'),
  REDIS_SENTINEL_TLS: redis('sentinel.tls', 'boolean'),
  REDIS_USERNAME: redis('username', 'string'),
  REDIS_TLS: redis('tls', 'boolean'),
  REDIS_CA_FILE: redis('tls.ca', 'string'),
  REDIS_CERT_FILE: redis('tls.cert', 'string'),
  REDIS_KEY_FILE: redis('tls.key', 'string'),
  REDIS_SERVER_NAME: redis('tls.serverName', 'string'),
  REDIS_PASSWORD: redis('password', 'string'),
  REDIS_KEY_PREFIX: redis('keyPrefix', 'string'),
  MLFLOW_TRACKING_URI: mlflow('trackingUri', 'string'),
  MLFLOW_REGISTRY_URI: mlflow('registryUri', 'string'),
  MLFLOW_TRACKING_USERNAME: mlflow('username', 'string'),
  MLFLOW_TRACKING_PASSWORD: mlflow('password', 'string'),
  MLFLOW_TRACKING_TOKEN: mlflow('token', 'string'),
  MLFLOW_EXPERIMENT_NAME: mlflow('experimentName', 'string'),
  GATEWAY_HOST: { path: 'gateway.host', type: 'string' },
  GATEWAY_PORT: { path: 'gateway.port', type: 'number' },
  GATEWAY_API_KEYS: { path: 'gateway.apiKeys', type: 'list' },
  GATEWAY_SPOOL_DIRECTORY: { path: 'gateway.spool.directory', type: 'string' },
  PIPELINE_HOST: { path: 'pipeline.host', type: 'string' },
  PIPELINE_PORT: { path: 'pipeline.port', type: 'number' },
  PIPELINE_GROUP: { path: 'pipeline.group', type: 'string' },
  FEATURE_API_HOST: { path: 'featureApi.host', type: 'string' },
  FEATURE_API_KEYS: { path: 'featureApi.apiKeys', type: 'list' },
  FEATURE_API_PORT: { path: 'featureApi.port', type: 'number' },
  API_KEYS: { path: 'serving.apiKeys', type: 'list' },
  API_HOST: { path: 'serving.host', type: 'string' },
  API_WORKERS: { path: 'serving.workers', type: 'number' },
  METRICS_EXPORTER: { path: 'metrics.exporter', type: 'string' },
  OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: { path: 'metrics.otlp.endpoint', type: 'string' },
  OTEL_METRIC_EXPORT_INTERVAL: { path: 'metrics.otlp.intervalMs', type: 'number' },
  PROMETHEUS_ENABLED: { path: 'metrics.enabled', type: 'boolean' },
  GRAFANA_ENABLED: { path: 'grafana.enabled', type: 'boolean' },
  GRAFANA_URL: { path: 'grafana.url', type: 'string' },
  PROMETHEUS_URL: { path: 'serving.console.prometheusUrl', type: 'string' },
  API_PORT: { path: 'serving.port', type: 'number' },
  /** As SageMaker names the port that a container must listen on: comes before API_PORT. */
  SAGEMAKER_BIND_TO_PORT: { path: 'serving.port', type: 'number' },
  HEALTH_STALLED_AFTER: { path: 'health.stalledAfter', type: 'string' },
  MONITOR_HOST: { path: 'monitor.host', type: 'string' },
  MONITOR_PORT: { path: 'monitor.port', type: 'number' },
  MONITOR_WINDOW: { path: 'monitor.window', type: 'string' },
  MONITOR_EVERY: { path: 'monitor.every', type: 'string' },
  WORKFLOWS_CONCURRENCY: { path: 'workflows.concurrency', type: 'number' },
  WORKFLOWS_HOST: { path: 'workflows.worker.host', type: 'string' },
  WORKFLOWS_PORT: { path: 'workflows.worker.port', type: 'number' },
  WORKFLOWS_STEPS: { path: 'workflows.steps', type: 'string' },
  RAW_EVENTS_TOPIC: { path: 'topics.rawEvents', type: 'string' },
  FEATURE_EVENTS_TOPIC: { path: 'topics.featureEvents', type: 'string' },
  DEAD_LETTER_TOPIC: { path: 'topics.deadLetters', type: 'string' },
  ARCHIVE_ENABLED: { path: 'archive.enabled', type: 'boolean' },
  ARCHIVE_DIRECTORY: { path: 'archive.directory', type: 'string' },
  OBJECT_STORE_DIRECTORY: { path: 'objectStore.directory', type: 'string' },
  REPORTS_OUT: { path: 'reports.out', type: 'string' },
  REPORTS_SCHEDULE: { path: 'reports.schedule.cron', type: 'string' },
  BACKUP_DIRECTORY: { path: 'backup.directory', type: 'string' },
  BACKUP_SECRET: { path: 'backup.secret', type: 'string' },
  BACKUP_FOLDERS: { path: 'backup.folders', type: 'list' },
  BACKUP_KEEP: { path: 'backup.keep', type: 'string' },
  BACKUP_SCHEDULE: { path: 'backup.schedule.cron', type: 'string' },
  BACKUP_DRILL: { path: 'backup.drill.cron', type: 'string' },
  DEAD_LETTER_DIRECTORY: { path: 'deadLetters.directory', type: 'string' },
  PREDICTIONS_TOPIC: { path: 'topics.predictions', type: 'string' },
};

/** Of shells: their names look like those of passwords. */
const WORKING_DIRECTORIES: ReadonlySet<string> = new Set(['PWD', 'OLDPWD']);

/** What a project adds to the package's settings. */
export interface ProjectSettings {
  /** The folder of its own settings. */
  readonly configs?: string | undefined;
  readonly models?: readonly ModelDefinition[];
}

/** @throws {@link ConfigError} listing every problem */
export function loadPlatformConfig(
  env: Environment = environment(),
  overrides: Readonly<Record<string, unknown>> = {},
  { configs, models = [] }: ProjectSettings = {},
): Readonly<PlatformConfig> {
  const variables = Object.entries(env).filter(([name]) => isSecretName(name) && !WORKING_DIRECTORIES.has(name));
  rememberSecrets(variables.map(([, value]) => value ?? ''));
  const loaded = loadConfig({
    schema: platformConfigSchema,
    directory: assetPath('configs'),
    over: configs,
    defined: settingsOfModels(models),
    environment: `features,${environmentOf(env)}`,
    env,
    variables: ENVIRONMENT_VARIABLES,
    overrides,
    renamed: [{ path: 'broker.kind', old: OLD_DISK_LOG, now: 'disk_log' }],
    onOldName: warnOfOldName,
  });
  const config = withSharedAccess(withNamespace(loaded));
  rememberSecrets(secretsIn(config).map(({ value }) => value));
  if (config.production) checkProduction(config);
  if (config.archive.enabled && config.broker.kind === 'pubsub') {
    throw new ConfigError(
      'archive.enabled: Pub/Sub gives a message to one reader, the feature pipeline, and has no positions that a file could end at. Set archive.enabled to false, and keep events with a Cloud Storage subscription of the topic',
    );
  }
  return config;
}

/** The broker on this machine's disk was called so up to version 0.1. */
const OLD_DISK_LOG = 'memory';

/** Prints a warning, as Node.js prints its own, once a process and message. */
const warnOfOldName = (message: string): void => {
  if (warned.has(message)) return;
  warned.add(message);
  process.emitWarning(message, { type: 'DeprecationWarning', code: 'HEADWATER_OLD_NAME' });
};
const warned = new Set<string>();

/** ENVIRONMENT, and over it the online store that FEATURE_STORE_BACKEND names and the broker that INGEST_SINK names. */
function environmentOf({ ENVIRONMENT, FEATURE_STORE_BACKEND, INGEST_SINK }: Environment): string {
  const backend = (FEATURE_STORE_BACKEND ?? '') === '' ? '' : `,${FEATURE_STORE_BACKEND}`;
  const environment = `${(ENVIRONMENT ?? '') === '' ? 'embedded' : ENVIRONMENT}${backend}`;
  if ((INGEST_SINK ?? '') === '') return `${environment}`;
  if (INGEST_SINK !== OLD_DISK_LOG) return `${environment},${INGEST_SINK}`;
  warnOfOldName(
    'INGEST_SINK=memory is the old name of disk_log; the next version refuses it. Set INGEST_SINK=disk_log',
  );
  return `${environment},disk_log`;
}
