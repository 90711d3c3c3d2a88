import { z } from 'zod';
import type { WorkflowDefinition } from '#workflows/document/define_workflow';
import type { ScheduleSpec } from '#workflows/schedules/schedule';
import type { TaskDefinition } from '#workflows/tasks/task';

/** When something runs: five fields of cron, and their zone (default: UTC). */
export const cronSchema = z.strictObject({ cron: z.string().min(1), timeZone: z.string().min(1).optional() });
export type CronSetting = z.infer<typeof cronSchema>;

/** Workflows that settings add to those of a project. */
export interface WorkflowParts {
  readonly workflows: readonly WorkflowDefinition[];
  readonly tasks: readonly TaskDefinition[];
  readonly schedules: Readonly<Record<string, ScheduleSpec>>;
}
export const NO_WORKFLOWS: WorkflowParts = { workflows: [], tasks: [], schedules: {} };

/** Returns the schedule of a workflow. */
export const scheduleOf = (workflow: string, { cron, timeZone }: CronSetting): ScheduleSpec => ({
  workflow,
  cron,
  ...(timeZone === undefined ? {} : { timeZone }),
});
