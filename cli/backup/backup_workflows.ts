import type { JsonValue } from '#kernel/json';
import { defineWorkflow, type WorkflowDefinition } from '#workflows/document/define_workflow';
import type { ScheduleSpec } from '#workflows/schedules/schedule';
import { type TaskDefinition, task } from '#workflows/tasks/task';
import type { PlatformConfig } from '../project/config/platform_config.ts';
import { loadProject } from '../project/project.ts';
import { scheduleOf, type WorkflowParts } from '../project/workflow_parts.ts';
import { type BackupSummary, backUpPlatform, backupLine } from './create_backup.ts';
import { type DrillReport, drillBackup, drillLines, refuseShort } from './drill.ts';

const BACKUP = 'backup';
const DRILL = 'backup_drill';
const LONGEST_SECONDS = 86_400;

/** Writes a backup. */
const backUp = task(
  'platform.backup@1',
  async (_: JsonValue, context): Promise<BackupSummary> => {
    const summary = await backUpPlatform(await loadProject());
    context.log(backupLine(summary));
    return summary;
  },
  { process: true },
);

/** Restores the newest backup into a temporary folder and compares. */
const drill = task(
  'platform.backup-drill@1',
  async (_: JsonValue, context): Promise<DrillReport> => {
    const report = await drillBackup(undefined, context.log);
    for (const line of drillLines(report)) context.log(line);
    refuseShort(report);
    return report;
  },
  { process: true },
);

const TASKS = [backUp, drill] as unknown as readonly TaskDefinition[];

/** Returns the workflows of `backup.schedule` and `backup.drill`. */
export function backupParts({ backup }: Pick<PlatformConfig, 'backup'>): WorkflowParts {
  const workflows: WorkflowDefinition[] = [];
  const schedules: Record<string, ScheduleSpec> = {};
  for (const [name, times, { id }] of [
    [BACKUP, backup.schedule, backUp],
    [DRILL, backup.drill, drill],
  ] as const) {
    if (times === undefined) continue;
    workflows.push(oneStep(name, id));
    schedules[name] = scheduleOf(name, times);
  }
  return { workflows, tasks: TASKS, schedules };
}

/** A second run of the same kind waits: both would write into one store of backups. */
const oneStep = (name: string, resource: string): WorkflowDefinition =>
  defineWorkflow(
    name,
    {
      StartAt: 'Run',
      States: {
        Run: {
          ...{ Type: 'Task', Resource: resource, TimeoutSeconds: LONGEST_SECONDS, End: true },
          Retry: [{ ErrorEquals: ['States.TaskFailed'], IntervalSeconds: 60, BackoffRate: 3, MaxAttempts: 3 }],
        },
      },
    },
    { maxRuns: 1 },
    TASKS,
  );
