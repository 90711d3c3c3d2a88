import { randomUUID } from 'node:crypto';
import type { JsonValue } from '#kernel/json';
import type { RunOrigin } from '#kernel/workflow_runs';
import { checkDocument } from '../document/check_document.ts';
import type { WorkflowDefinition } from '../document/define_workflow.ts';
import { withTaskVersions } from '../document/pin_tasks.ts';
import { concurrencyKeyOf, limitsOf } from '../document/settings.ts';
import { ScheduleNotFoundError, WorkflowDefinitionError, WorkflowNotFoundError } from '../errors.ts';
import { rfc3339, Schedule, type ScheduledTime, type ScheduleSpec } from '../schedules/schedule.ts';
import type { NewRun } from '../store/workflow_store.ts';
import { APPROVAL } from '../tasks/approval.ts';
import { type TaskDefinition, taskIdOf } from '../tasks/task.ts';
import { TaskRegistry } from '../tasks/task_registry.ts';

/** The workflows of a project, with the tasks they need and their schedules. */
export class WorkflowCatalog {
  readonly tasks: TaskRegistry;
  readonly schedules: readonly Schedule[];
  readonly #workflows = new Map<string, WorkflowDefinition>();

  /** @throws {@link WorkflowDefinitionError}; {@link WorkflowDocumentError} for a task that does not exist, with its place */
  constructor(
    workflows: readonly WorkflowDefinition[],
    tasks: readonly TaskDefinition[],
    schedules: Readonly<Record<string, ScheduleSpec>> = {},
  ) {
    this.tasks = new TaskRegistry([APPROVAL, ...tasks, ...workflows.flatMap(({ tasks: used }) => used)]);
    const names = new Set(this.tasks.ids.map((id) => taskIdOf(id).name));
    for (const each of workflows) {
      if (this.#workflows.has(each.name)) {
        throw new WorkflowDefinitionError(`two workflows are called "${each.name}": give one another name`);
      }
      checkDocument(each.name, each.document, (id) => this.tasks.has(id) || names.has(id));
      this.#workflows.set(each.name, each);
    }
    this.schedules = Object.entries(schedules).map(([name, spec]) => new Schedule(name, spec));
    for (const { name, workflow } of this.schedules) {
      if (this.#workflows.has(workflow)) continue;
      const known =
        this.names.length === 0 ? 'the project defines none' : `the project defines ${this.names.join(', ')}`;
      throw new WorkflowDefinitionError(`schedule "${name}": workflow "${workflow}" does not exist; ${known}`);
    }
  }

  get names(): readonly string[] {
    return [...this.#workflows.keys()].sort();
  }

  /** @throws {@link WorkflowNotFoundError} */
  get(name: string): WorkflowDefinition {
    const found = this.#workflows.get(name);
    if (found === undefined) throw new WorkflowNotFoundError(name, this.names);
    return found;
  }

  /** @throws {@link ScheduleNotFoundError} */
  schedule(name: string): Schedule {
    const found = this.schedules.find((schedule) => schedule.name === name);
    if (found !== undefined) return found;
    throw new ScheduleNotFoundError(
      name,
      this.schedules.map((schedule) => schedule.name),
    );
  }

  /** Returns the run of a time of a schedule. */
  scheduledRun(schedule: Schedule, time: ScheduledTime, kind: 'schedule' | 'backfill', by: string): NewRun {
    const origin = { kind, by, schedule: schedule.name, at: rfc3339(time.timeMs) };
    return this.newRun(schedule.workflow, schedule.runId(time), schedule.inputOf(time), origin);
  }

  /** Returns a run of a schedule that is started by hand. @throws {@link ScheduleNotFoundError} */
  triggeredRun(name: string, nowMs: number, by: string): NewRun {
    const schedule = this.schedule(name);
    const input = schedule.inputOf({ timeMs: nowMs, date: schedule.dateOf(nowMs) });
    const id = `${name}@manual-${randomUUID()}`;
    return this.newRun(schedule.workflow, id, input, { kind: 'manual', by, schedule: name });
  }

  /** Returns a run to start: with its own copy of the document, in which tasks have their newest versions. */
  newRun(name: string, id: string, input: JsonValue, origin: RunOrigin): NewRun {
    const { document, settings } = this.get(name);
    return {
      ...{ id, workflow: name, input, origin },
      document: withTaskVersions(document, this.tasks),
      concurrencyKey: concurrencyKeyOf(settings, input),
      limits: limitsOf(settings),
    };
  }
}
