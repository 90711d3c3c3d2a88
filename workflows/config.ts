import { z } from 'zod';
import { duration } from '#configs/duration';
import { accessSettings } from '#connectors/http/config';
import type { Duration } from '#kernel/times/duration';
import { tlsSchema } from '#monitoring/http/tls_config';

const httpUrl = z.url({ protocol: /^https?$/ });
/** The fourth part is the region. */
export const TOPIC_ARN = /^arn:aws[a-z-]*:sns:([a-z0-9-]+):\d{12}:([A-Za-z0-9_-]{1,251}(?:\.fifo)?)$/;

export const workflowsConfigSchema = z.strictObject({
  /** Steps that a worker runs at a time; 0: this process runs none, and leaves them to others. */
  concurrency: z.int().nonnegative().max(1_000).default(16),
  /** The listener of `headwater workflows worker`: health and metrics. */
  worker: z
    .strictObject({
      host: z.string().default('127.0.0.1'),
      port: z.int().min(0).max(65_535).default(8_085),
      tls: tlsSchema.optional(),
      /** A worker that has had no steps for so long ends, such as `30m`: for machines that are paid by the hour. Default: it stays. */
      stopWhenIdle: duration.optional(),
      ...accessSettings,
    })
    .prefault({}),
  /** Where tasks with `process: true` run: in processes beside their worker, or as Jobs of the cluster. */
  steps: z.enum(['process', 'kubernetes']).default('process'),
  kubernetes: z
    .strictObject({
      /** Address of the API server. */
      server: httpUrl.default('https://kubernetes.default.svc'),
      namespace: z
        .string()
        .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/)
        .default('headwater'),
      tokenFile: z.string().min(1).default('/var/run/secrets/kubernetes.io/serviceaccount/token'),
      caFile: z.string().min(1).default('/var/run/secrets/kubernetes.io/serviceaccount/ca.crt'),
      /** A suspended CronJob, whose template Jobs of steps have: image, volumes, credentials, limits. */
      cronJob: z.string().min(1).default('workflow-step'),
    })
    .prefault({}),
  /** A worker that is silent for so long has lost its steps to others. */
  lease: duration.default('30s' as Duration),
  /** How often a worker looks for steps that are due; those that are announced start at once. */
  poll: duration.default('1s' as Duration),
  /** Runs that ended so long ago are deleted with their history. */
  retention: duration.default('90d' as Duration),
  /** For tasks, by name: `context.variable(NAME)`. */
  variables: z.record(z.string().min(1), z.union([z.string(), z.number(), z.boolean()])).default({}),
  /** For tasks, by name: `context.connection(NAME)`, such as `{ url: https://…, password: ${WAREHOUSE_PASSWORD} }`. Fields called as credentials are kept out of logs and results. */
  connections: z
    .record(z.string().min(1), z.record(z.string().min(1), z.union([z.string(), z.number(), z.boolean()])))
    .default({}),
  /** Where OpenLineage events of runs go: a file, to which lines of JSON are appended; an address that takes them by POST. */
  lineage: z
    .strictObject({
      file: z.string().min(1).optional(),
      url: httpUrl.optional(),
      namespace: z.string().min(1).default('headwater'),
    })
    .prefault({}),
  /** Who is notified of what runs of retraining came to. */
  notify: z
    .strictObject({
      webhooks: z.array(httpUrl).default([]),
      sns: z
        .strictObject({
          topicArn: z.string().regex(TOPIC_ARN, 'is no ARN of a topic: arn:aws:sns:REGION:ACCOUNT:NAME'),
          /** Another address than AWS's own. */
          endpoint: httpUrl.optional(),
        })
        .optional(),
      alertmanager: z
        .strictObject({
          /** Each Alertmanager of a cluster, such as http://alertmanager:9093. */
          urls: z.array(httpUrl).min(1),
          /** The alert of a run ends by itself after so long. */
          endsAfter: duration.default('1h' as Duration),
        })
        .optional(),
    })
    .prefault({}),
});
export type WorkflowsConfig = z.infer<typeof workflowsConfigSchema>;
export type NotifySettings = WorkflowsConfig['notify'];
