import { expect, test } from '@jest/globals';
import { type CronJob, jobManifest, jobName } from '#workflows/jobs/job_manifest';

const template: CronJob = {
  spec: {
    jobTemplate: {
      spec: {
        backoffLimit: 3,
        activeDeadlineSeconds: 86_400,
        template: {
          metadata: { labels: { 'headwater/job': 'workflow-step' } },
          spec: {
            restartPolicy: 'OnFailure',
            nodeSelector: { 'kubernetes.io/arch': 'amd64' },
            tolerations: [{ key: 'batch' }],
            containers: [
              {
                ...{ name: 'headwater', image: 'headwater@sha256:1', args: ['workflows', 'step'] },
                resources: { requests: { cpu: 1, memory: '1Gi' }, limits: { memory: '4Gi' } },
              },
            ],
          },
        },
      },
    },
  },
};
const step = { key: 'r1:Train:2', run: 'r1', workflow: 'retrain_fraud', state: 'Train', timeoutMs: 90_500 };
interface Job {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly backoffLimit: number;
    readonly activeDeadlineSeconds: number;
    readonly template: { readonly spec: Record<string, unknown> & { readonly containers: readonly object[] } };
  };
}
const jobOf = (given: Partial<Parameters<typeof jobManifest>[1]>): Job =>
  jobManifest(template, { ...step, resources: {}, ...given }) as Job;

test('a Job has the image and limits of the template, runs the step once, and ends with its time', () => {
  const { metadata, spec } = jobOf({});
  expect(metadata).toMatchObject({
    ...{ name: jobName(step.key), labels: { 'headwater/job': 'workflow-step' } },
    annotations: { 'headwater/run': 'r1', 'headwater/workflow': 'retrain_fraud', 'headwater/state': 'Train' },
  });
  expect(metadata.name).toMatch(/^workflow-step-[0-9a-f]{24}$/);
  expect(spec).toMatchObject({ backoffLimit: 0, activeDeadlineSeconds: 91 });
  expect(spec.template.spec).toMatchObject({
    restartPolicy: 'Never',
    containers: [
      {
        ...{ image: 'headwater@sha256:1', args: ['workflows', 'step', 'r1:Train:2'] },
        resources: { requests: { cpu: 1, memory: '1Gi' }, limits: { memory: '4Gi' } },
      },
    ],
  });
  expect(jobOf({ timeoutMs: undefined }).spec.activeDeadlineSeconds).toBe(86_400);
});

test('an attempt has a Job of its own', () => {
  const names = ['r1:Train:1', 'r1:Train:2', 'r1:Compare:1', 'r11:Train:1'].map(jobName);
  expect(new Set(names).size).toBe(4);
  expect(jobName('r1:Train:1')).toBe(names[0]);
});

test('a training asks for graphics processors, cores, memory and nodes over the template', () => {
  const pod = jobOf({ resources: { gpu: true, cpu: '4', memory: '16Gi', nodeSelector: { pool: 'gpu' } } }).spec
    .template;
  expect(pod.spec).toMatchObject({
    nodeSelector: { 'kubernetes.io/arch': 'amd64', pool: 'gpu' },
    tolerations: [{ key: 'batch' }, { key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }],
  });
  expect(pod.spec.containers[0]).toMatchObject({
    resources: { requests: { cpu: '4', memory: '16Gi' }, limits: { memory: '16Gi', 'nvidia.com/gpu': 1 } },
  });
  const gpus = (gpu: number | boolean): unknown =>
    (jobOf({ resources: { gpu } }).spec.template.spec.containers[0] as { resources: { limits: object } }).resources
      .limits;
  expect(gpus(4)).toEqual({ memory: '4Gi', 'nvidia.com/gpu': 4 });
  for (const none of [false, 0]) expect(gpus(none)).toEqual({ memory: '4Gi' });
});
