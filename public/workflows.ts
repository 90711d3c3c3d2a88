/** `headwater/workflows`: tasks and workflows, as a project defines them. */

export { writeReport } from '#cli/reports/write_report';
export { type CommandOutput, commandTask } from '#cli/tasks/command_task';
export {
  checkContracts,
  type EntityPredictions,
  type PredictEntitiesOptions,
  predictEntities,
  pushRows,
  readPredictions,
  type ScheduledInput,
} from '#cli/tasks/project_tasks';
export { type HistoryRow, readHistory } from '#cli/tasks/view_history';
export type { Chart, Table } from '#registry/evaluation/evaluation';
export type { ReportPage } from '#registry/evaluation/report';
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
