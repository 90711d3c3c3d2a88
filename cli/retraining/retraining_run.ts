import { join } from 'node:path';
import type { ModelRegistry } from '#registry/model_registry';
import { type TaskContext, TaskError } from '#workflows/tasks/task';
import type { OfflineDatabase } from '../parts/offline_database.ts';
import { openRegistry } from '../parts/open_registry.ts';
import { withOffline } from '../parts/with_offline.ts';
import { type Retraining, retrainingWorkflowName } from '../project/config/retraining_config.ts';
import { loadProject, type Project } from '../project/project.ts';

/** Why a run was started. */
export interface Trigger {
  readonly kind: 'schedule' | 'drift' | 'performance' | 'estimated' | 'new_labels' | 'call';
  readonly detail: string;
}

/** What came of steps so far: the value that the states of a run pass on. */
export interface RetrainingState {
  readonly model: string;
  readonly trigger?: Trigger;
  readonly schedule?: { readonly name: string; readonly time: string };
  readonly data?: DataFound;
  readonly set?: SetMade;
  readonly trained?: {
    readonly metrics: Readonly<Record<string, number>>;
    readonly description: string;
    /** The commit that it was trained from. */
    readonly code?: string | undefined;
  };
  readonly comparison?: Compared;
  readonly version?: { readonly version: number };
  readonly gates?: { readonly passed: boolean; readonly failed: readonly string[] };
  readonly approval?: { readonly by: string; readonly reason: string };
  readonly error?: { readonly Error: string; readonly Cause: string };
  readonly canary?: Watched;
  readonly promoted?: { readonly at: string; readonly replaced: number | null };
  readonly watched?: Watched;
  readonly ended?: { readonly outcome: 'promoted' | 'archived' | 'rolled_back'; readonly reason: string };
}

/** What a run of retraining came to: its output. */
export interface RetrainingReport {
  readonly model: string;
  readonly run: string;
  readonly trigger: string;
  readonly outcome: string;
  readonly reason: string;
  readonly version: number | null;
  readonly champion: number | null;
  readonly rows: number;
  readonly quarantined: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly championMetrics: Readonly<Record<string, number>>;
  readonly approvedBy: string | null;
  readonly promotedAt: string | null;
}

export interface DataFound {
  /** Labels in [from, to), ISO 8601. */
  readonly from: string;
  readonly to: string;
  readonly labels: number;
  readonly newestLabel: string;
}

export interface SetMade {
  readonly rows: number;
  readonly positives: number;
  readonly quarantined: number;
  readonly sha256: string;
}

export interface Compared {
  /** The version in production; null where there is none, or it does not take these rows. */
  readonly champion: number | null;
  readonly metric: string;
  readonly rows: number;
  readonly isBetter: boolean;
  readonly reason: string;
  readonly metrics: Readonly<Record<string, number>>;
  readonly championMetrics: Readonly<Record<string, number>>;
}

export interface Watched {
  readonly state: 'running' | 'passed' | 'failed';
  readonly reason: string;
}

/** What a step works with. */
export interface StepParts {
  readonly project: Project;
  readonly settings: Retraining;
  /** Of the run: training set, model and quarantine. */
  readonly folder: string;
  /** Author of what the step does. */
  readonly by: string;
}

/** @throws {@link TaskError} `Retraining.NotConfigured` for a model without retraining */
export async function stepParts(model: string, { run }: Pick<TaskContext, 'run'>): Promise<StepParts> {
  const project = await loadProject();
  const settings = project.retraining[model];
  if (settings === undefined) {
    throw new TaskError('Retraining.NotConfigured', `model ${model} has no retraining: add it to its defineModel`);
  }
  return {
    ...{ project, settings, by: `headwater (${retrainingWorkflowName(model)})` },
    folder: join(project.dataDirectory, 'retraining', run.replace(/[^A-Za-z0-9_.-]/g, '_')),
  };
}

export const inOffline = <T>({ project }: StepParts, work: (offline: OfflineDatabase) => Promise<T>): Promise<T> =>
  withOffline(project, work);

export async function inRegistry<T>({ project }: StepParts, work: (registry: ModelRegistry) => Promise<T>): Promise<T> {
  const registry = openRegistry(project);
  try {
    return await work(registry);
  } finally {
    await registry.close();
  }
}
