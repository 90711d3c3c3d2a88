import type { JsonValue } from '#kernel/json';
import { checkDocument } from '../document/check_document.ts';
import type { WorkflowDefinition } from '../document/define_workflow.ts';
import { withTaskVersions } from '../document/pin_tasks.ts';
import { concurrencyKeyOf } from '../document/settings.ts';
import { WorkflowDefinitionError, WorkflowNotFoundError } from '../errors.ts';
import type { RunOrigin } from '../store/run_records.ts';
import type { NewRun } from '../store/workflow_store.ts';
import { type TaskDefinition, task, taskIdOf } from '../tasks/task.ts';
import { TaskRegistry } from '../tasks/task_registry.ts';

/** The task of states that only wait for an answer: `approval.waitForTaskToken`. */
export const APPROVAL: TaskDefinition = task('approval@1', () => null) as unknown as TaskDefinition;

/** The workflows of a project, with the tasks they need. */
export class WorkflowCatalog {
  readonly tasks: TaskRegistry;
  readonly #workflows = new Map<string, WorkflowDefinition>();

  /** @throws {@link WorkflowDefinitionError}; {@link WorkflowDocumentError} for a task that does not exist, with its place */
  constructor(workflows: readonly WorkflowDefinition[], tasks: readonly TaskDefinition[]) {
    this.tasks = new TaskRegistry([APPROVAL, ...tasks, ...workflows.flatMap(({ tasks: used }) => used)]);
    const names = new Set(this.tasks.ids.map((id) => taskIdOf(id).name));
    for (const each of workflows) {
      if (this.#workflows.has(each.name)) {
        throw new WorkflowDefinitionError(`two workflows are called "${each.name}": give one another name`);
      }
      checkDocument(each.name, each.document, (id) => this.tasks.has(id) || names.has(id));
      this.#workflows.set(each.name, each);
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

  /** Returns a run to start: with its own copy of the document, in which tasks have their newest versions. */
  newRun(name: string, id: string, input: JsonValue, origin: RunOrigin): NewRun {
    const { document, settings } = this.get(name);
    return {
      ...{ id, workflow: name, input, origin },
      document: withTaskVersions(document, this.tasks),
      concurrencyKey: concurrencyKeyOf(settings, input),
      limits: { mostRuns: settings.maxRuns, mostRunsOfKey: settings.maxRunsOfKey },
    };
  }
}
