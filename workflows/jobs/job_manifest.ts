import { derivedId } from '#kernel/hashes/derived_id';

/** What a step asks of the machine that runs it, beyond what the template has. */
export interface StepResources {
  /** Graphics processors. */
  readonly gpu?: number | boolean | undefined;
  /** Cores, as Kubernetes writes them: `4`, `500m`. */
  readonly cpu?: string | undefined;
  /** Memory, as Kubernetes writes it: `16Gi`. */
  readonly memory?: string | undefined;
  /** Labels of the nodes that it may run on. */
  readonly nodeSelector?: Readonly<Record<string, string>> | undefined;
}

interface Container {
  readonly name: string;
  readonly resources?: {
    readonly requests?: Readonly<Record<string, string | number>>;
    readonly limits?: Readonly<Record<string, string | number>>;
  };
  readonly [field: string]: unknown;
}

interface PodSpec {
  readonly containers: readonly [Container, ...Container[]];
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly tolerations?: readonly object[];
  readonly [field: string]: unknown;
}

/** A CronJob, as far as Jobs are made of it. */
export interface CronJob {
  readonly spec: {
    readonly jobTemplate: {
      readonly metadata?: { readonly labels?: Readonly<Record<string, string>> };
      readonly spec: {
        readonly template: {
          readonly metadata?: {
            readonly labels?: Readonly<Record<string, string>>;
            readonly annotations?: Readonly<Record<string, string>>;
          };
          readonly spec: PodSpec;
        };
        readonly [field: string]: unknown;
      };
    };
  };
}

/** A step, as its Job names it. */
export interface JobOfStep {
  /** `run:state:attempt`. */
  readonly key: string;
  readonly run: string;
  readonly workflow: string;
  readonly state: string;
  readonly timeoutMs: number | undefined;
  readonly resources: StepResources;
}

const GPU = 'nvidia.com/gpu';
/** A Job that has ended is shown for so long. */
const KEPT_SECONDS = 3_600;

/** Returns the name of the Job of a step: the same each time, so that a step has one Job. */
export const jobName = (key: string): string => `workflow-step-${derivedId([key]).slice(0, 24)}`;

/** Returns the Job of a step, made of a CronJob's template: its image, volumes, credentials and limits. */
export function jobManifest({ spec: { jobTemplate } }: CronJob, step: JobOfStep): object {
  const { key, run, workflow, state, timeoutMs, resources } = step;
  const { spec } = jobTemplate;
  const { template } = spec;
  const [first, ...others] = template.spec.containers;
  const annotations = { 'headwater/run': run, 'headwater/workflow': workflow, 'headwater/state': state };
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: jobName(key), labels: template.metadata?.labels ?? {}, annotations },
    spec: {
      ...spec,
      // A step that is tried again has another key, and so another Job.
      backoffLimit: 0,
      ttlSecondsAfterFinished: KEPT_SECONDS,
      ...(timeoutMs === undefined ? {} : { activeDeadlineSeconds: Math.max(1, Math.ceil(timeoutMs / 1_000)) }),
      template: {
        ...template,
        metadata: { ...template.metadata, annotations: { ...template.metadata?.annotations, ...annotations } },
        spec: {
          ...withResources(template.spec, resources),
          restartPolicy: 'Never',
          containers: [
            {
              ...first,
              args: ['workflows', 'step', key],
              resources: resourcesOf(first.resources ?? {}, resources),
            },
            ...others,
          ],
        },
      },
    },
  };
}

function withResources(spec: PodSpec, { gpu, nodeSelector }: StepResources): PodSpec {
  // Nodes with graphics processors keep other pods away.
  const tolerations = Number(gpu ?? 0) > 0 ? [{ key: GPU, operator: 'Exists', effect: 'NoSchedule' }] : [];
  return {
    ...spec,
    ...(tolerations.length === 0 ? {} : { tolerations: [...(spec.tolerations ?? []), ...tolerations] }),
    ...(nodeSelector === undefined ? {} : { nodeSelector: { ...spec.nodeSelector, ...nodeSelector } }),
  };
}

function resourcesOf(
  { requests, limits }: NonNullable<Container['resources']>,
  { gpu, cpu, memory }: StepResources,
): Container['resources'] {
  const gpus = Number(gpu ?? 0);
  return {
    requests: { ...requests, ...(cpu === undefined ? {} : { cpu }), ...(memory === undefined ? {} : { memory }) },
    limits: { ...limits, ...(memory === undefined ? {} : { memory }), ...(gpus > 0 ? { [GPU]: gpus } : {}) },
  };
}
