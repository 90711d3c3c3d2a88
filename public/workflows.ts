/** `headwater/workflows`: tasks and workflows, as a project defines them. */
export { type CommandOutput, commandTask } from '#cli/tasks/command_task';
export { defineWorkflow, Flow, type WorkflowDefinition, workflow } from '#workflows/document/define_workflow';
export type { WorkflowDocument } from '#workflows/document/document';
export type { WorkflowSettings } from '#workflows/document/settings';
export type { CatchUpPolicy, OverlapPolicy, ScheduleSpec } from '#workflows/schedules/schedule';
export {
  type Connection,
  type TaskContext,
  type TaskDefinition,
  TaskError,
  task,
  type VariableValue,
} from '#workflows/tasks/task';
