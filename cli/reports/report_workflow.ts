import { defineWorkflow } from '#workflows/document/define_workflow';
import type { TaskDefinition } from '#workflows/tasks/task';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import { NO_WORKFLOWS, scheduleOf, type WorkflowParts } from '../project/workflow_parts.ts';
import { commandTask } from '../tasks/command_task.ts';

const REPORT = 'report';

/** Returns the workflow of `reports.schedule`. */
export function reportParts({ reports: { schedule, out, days } }: Pick<PlatformConfig, 'reports'>): WorkflowParts {
  if (schedule === undefined || out === undefined) return NO_WORKFLOWS;
  const write = commandTask('platform.report', () => ['report', 'write', '--out', out, '--days', String(days)]);
  const tasks = [write] as unknown as readonly TaskDefinition[];
  const retry = [{ ErrorEquals: ['States.TaskFailed'], IntervalSeconds: 60, BackoffRate: 3, MaxAttempts: 3 }];
  const states = { Write: { Type: 'Task', Resource: write.id, TimeoutSeconds: 3_600, Retry: retry, End: true } };
  return {
    workflows: [defineWorkflow(REPORT, { StartAt: 'Write', States: states }, { maxRuns: 1 }, tasks)],
    ...{ tasks, schedules: { [REPORT]: scheduleOf(REPORT, schedule) } },
  };
}
