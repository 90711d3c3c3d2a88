import { servicesById } from '#feature_store/definitions/feature_service';
import type { ScheduleSpec } from '#workflows/schedules/schedule';
import { retrainingWorkflowName } from '../project/config/retraining_config.ts';
import { definitionsOf, type Project } from '../project/project.ts';
import { scheduleOf, type WorkflowParts } from '../project/workflow_parts.ts';
import { isNotified } from './notify.ts';
import { RETRAINING_TASKS, retrainingWorkflow } from './retraining_workflow.ts';

/** Returns the workflows of a project's models with retraining, and their schedules. */
export function retrainingParts(project: Project): WorkflowParts {
  const services = servicesById(definitionsOf(project));
  const models = Object.entries(project.retraining);
  const workflows = models.map(([model, settings]) => {
    const stored = services.get(project.training[model]?.service ?? '')?.stored ?? [];
    return retrainingWorkflow(model, {
      settings,
      hasCanary: project.serving.models.some(({ name, canary }) => name === model && canary !== undefined),
      hasBatchViews: stored.some(({ view }) => view.mode === 'batch'),
      isNotified: isNotified(project.workflows.notify),
    });
  });
  const schedules: Record<string, ScheduleSpec> = {};
  for (const [model, { triggers }] of models) {
    if (triggers.schedule === undefined) continue;
    const name = retrainingWorkflowName(model);
    schedules[name] = scheduleOf(name, triggers.schedule);
  }
  return { workflows, tasks: RETRAINING_TASKS, schedules };
}
